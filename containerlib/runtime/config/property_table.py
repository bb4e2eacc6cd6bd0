"""The rows of the table of properties, section by section as the runtime-spec has them. See properties.py.

A row without a test is one that nobody has shown yet: tests/unit/runtime/test_properties.py fails while there is one.

Spec: runtime-spec config.md, runtime.md, runtime-linux.md, features.md
"""

from __future__ import annotations

from containerlib.runtime.config.property_table_linux import LINUX
from containerlib.runtime.config.property_types import Section, done, each, not_linux, refused
from containerlib.spec import vocabulary

__all__ = ["SECTIONS"]

_UNIT = "tests/unit/runtime/"
_VALIDATE = f"{_UNIT}test_validate.py::"
_WRONG = f"{_VALIDATE}test_value_that_is_wrong_is_named_by_its_path"
_FEATURES = f"{_UNIT}test_features.py::"
_RUNTIME = "tests/integration/test_runtime.py::"
_PLACEMENT = "tests/integration/oci_process/test_placement.py::"
_MOUNTS = "tests/integration/test_oci_mounts.py::"
_BINDS = "tests/integration/test_oci_mounts_binds.py::"
_TMPFS = "tests/integration/test_oci_mounts_tmpfs.py::"
_MAPPED = "tests/integration/test_oci_mounts_mapped.py::"
_STDIO = "tests/integration/test_runtime_stdio.py::"
_RUN = "tests/integration/test_run.py::"
_DESCRIPTORS = "tests/security/test_descriptors.py::"
_IMAGES = "tests/security/test_images.py::"
_INHERITED = "tests/security/test_inheritance.py::"
_PRIVILEGES = "tests/security/test_privileges.py::"
_BOUNDS = "tests/security/test_bounds.py::"
_BINARY = "tests/security/test_runtime_binary.py::"
_PROPERTIES = "tests/integration/test_runtime_properties.py::"
_HOOKS = "tests/integration/test_oci_hooks.py::"
_TOLD = f"{_HOOKS}test_hooks_of_every_kind_are_told_the_state_where_they_belong"

_MOUNT_OPTIONS = {
    f"{_BINDS}test_bind_sets_its_attribute_on_itself_only": "ro nosuid nodev noexec noatime nodiratime "
    "nosymfollow rbind",
    f"{_BINDS}test_bind_clears_only_what_its_words_clear": "rw suid dev exec atime relatime strictatime "
    "diratime symfollow",
    f"{_BINDS}test_recursive_word_sets_below_too": "rro rnosuid rnodev rnoexec rnoatime rnodiratime rnosymfollow",
    f"{_BINDS}test_recursive_word_clears_below_too": "rrw rsuid rdev rexec ratime rdiratime rsymfollow",
    f"{_BINDS}test_recursive_access_time_replaces_the_sources": "rstrictatime rrelatime",
    f"{_MOUNTS}test_option_of_the_superblock_is_the_file_systems": "sync dirsync lazytime",
    f"{_MOUNTS}test_option_that_only_mount_2_has_is_taken_there": "silent iversion",
    f"{_MOUNTS}test_words_for_what_is_the_default_anyway_change_nothing": "async loud nolazytime nomand noiversion "
    "defaults norelatime nostrictatime rnorelatime rnostrictatime",
    f"{_BINDS}test_bind_without_r_has_nothing_below": "bind",
    f"{_BINDS}test_bind_passes_over_what_only_a_superblock_has": "mand",
    f"{_MOUNTS}test_remount_of_a_file_system_changes_its_options": "remount",
    f"{_BINDS}test_propagation_of_a_bind": "private rprivate slave rslave shared rshared unbindable runbindable",
    f"{_MAPPED}test_id_mapped_bind_shows_the_mapped_owners": "idmap ridmap",
    f"{_TMPFS}test_tmpcopyup_has_what_the_image_has": "tmpcopyup",
}
"""By the test that shows them."""


# ---- config.md ----

_CONFIG = (
    Section(
        "Version and root",
        "config.md#specification-version",
        (
            done("ociVersion", f"{_VALIDATE}test_version_of_another_major_is_refused", "every 1.x is read"),
            done("root", _WRONG),
            done(
                "root.path",
                "tests/integration/test_runtime_clients.py::test_root_that_is_bound_is_the_directory_itself",
            ),
            done("root.readonly", f"{_RUN}test_run_read_only_root_cannot_be_written"),
        ),
    ),
    Section(
        "Mounts",
        "config.md#mounts",
        (
            done("mounts", f"{_BOUNDS}test_mounts_in_great_number_are_all_made", "in the listed order"),
            done(
                "mounts[].destination",
                f"{_IMAGES}test_mount_through_a_link_of_the_image_lands_in_the_container",
            ),
            done(
                "mounts[].destination: relative",
                f"{_VALIDATE}test_relative_destination_is_a_warning",
                "taken from /, with a warning",
            ),
            done("mounts[].source", f"{_RUN}test_run_bind_mount_is_shown_and_read_only_kept"),
            done(
                "mounts[].source: relative to the bundle",
                f"{_MOUNTS}test_source_of_a_bind_may_be_relative_to_the_bundle",
            ),
            done("mounts[].type", f"{_RUN}test_run_tmpfs_has_its_size"),
            done("mounts[].type=cgroup", f"{_PRIVILEGES}test_cgroup_files_cannot_be_written"),
            done(
                "mounts[].options",
                f"{_UNIT}test_mount_options.py::test_every_word_of_the_specification_has_a_row",
            ),
            done("mounts[].options: of the file system", f"{_RUN}test_run_tmpfs_has_its_size"),
            *each(
                "mounts[].",
                (
                    f"{kind}Mappings{part}"
                    for kind in ("uid", "gid")
                    for part in ("", "[].containerID", "[].hostID", "[].size")
                ),
                f"{_MAPPED}test_id_mapped_bind_writes_the_ids_of_the_disk",
            ),
        ),
    ),
    Section(
        "Linux mount options",
        "config.md#linux-mount-options",
        (
            *(
                row
                for test, words in _MOUNT_OPTIONS.items()
                for row in each("mounts[].options: ", words.split(), test)
            ),
            done(
                "mounts[].options: copy-symlink",
                f"{_BINDS}test_copied_symlink_is_one_in_the_container",
                sentence="not the specification's: crun's and podman's",
            ),
        ),
    ),
    Section(
        "Process",
        "config.md#process",
        (
            done("process", _WRONG),
            done("process.terminal", f"{_STDIO}test_terminal_of_an_exec_is_a_terminal_inside"),
            done("process.consoleSize", f"{_STDIO}test_terminal_has_the_size_given_and_takes_another"),
            done("process.consoleSize.height", f"{_STDIO}test_terminal_has_the_size_given_and_takes_another"),
            done("process.consoleSize.width", f"{_STDIO}test_terminal_has_the_size_given_and_takes_another"),
            done("process.cwd", f"{_INHERITED}test_program_starts_in_the_containers_root"),
            done("process.env", f"{_INHERITED}test_program_has_no_variable_of_the_callers"),
            done("process.args", f"{_BOUNDS}test_argument_of_a_length_around_sixteen_bits_arrives_whole"),
            not_linux("process.commandLine"),
            done(
                "process.rlimits", f"{_INHERITED}test_program_has_the_callers_limits_where_none_is_asked_for"
            ),
            done("process.rlimits[].type", _WRONG),
            done("process.rlimits[].soft", f"{_PROPERTIES}test_rlimits_are_those_of_the_config"),
            done(
                "process.rlimits[].hard",
                f"{_PROPERTIES}test_rlimits_are_those_of_the_config",
                untested="raising a hard limit needs CAP_SYS_RESOURCE, which root lacks here",
            ),
        ),
    ),
    Section(
        "Linux process",
        "config.md#linux-process",
        (
            done(
                "process.apparmorProfile",
                "tests/integration/test_oci_apparmor.py::test_profile_confines_the_program",
                untested="only in the virtual machine: the hosts have no AppArmor",
            ),
            done("process.capabilities", f"{_PRIVILEGES}test_process_has_dockers_capabilities_and_no_more"),
            done(
                "process.capabilities.effective",
                f"{_PRIVILEGES}test_process_of_another_user_has_no_capability",
            ),
            done(
                "process.capabilities.bounding",
                f"{_PRIVILEGES}test_process_cannot_regain_dropped_capabilities_by_a_setuid_program",
            ),
            done(
                "process.capabilities.inheritable",
                f"{_PRIVILEGES}test_process_has_no_inheritable_and_no_ambient_capability",
            ),
            done(
                "process.capabilities.permitted",
                f"{_PRIVILEGES}test_process_has_dockers_capabilities_and_no_more",
            ),
            done(
                "process.capabilities.ambient",
                f"{_PROPERTIES}test_ambient_capability_reaches_the_program_of_another_user",
            ),
            done(
                "process.capabilities: unknown",
                f"{_VALIDATE}test_capability_that_does_not_exist_is_a_warning",
                "a warning",
            ),
            done(
                "process.noNewPrivileges", f"{_PROPERTIES}test_no_new_privileges_is_set_where_it_is_asked_for"
            ),
            done(
                "process.oomScoreAdj",
                f"{_PROPERTIES}test_oom_score_is_that_of_the_config",
                untested="negative values need CAP_SYS_RESOURCE, which root lacks here",
            ),
            *each(
                "process.scheduler",
                ("", ".policy", ".nice", ".priority"),
                f"{_PLACEMENT}test_scheduler_is_the_processs",
            ),
            *each(
                "process.scheduler.policy=",
                sorted(vocabulary.SCHEDULER_POLICIES - {"SCHED_ISO", "SCHED_DEADLINE"}),
                f"{_PLACEMENT}test_scheduler_is_the_processs",
            ),
            done(
                "process.scheduler.policy=SCHED_ISO",
                f"{_PLACEMENT}test_scheduler_that_only_other_kernels_have_is_for_the_kernel_to_refuse",
                "Linux itself reserves the name, and refuses it",
            ),
            *each(
                "process.scheduler.",
                ("policy=SCHED_DEADLINE", "runtime", "deadline", "period"),
                f"{_PLACEMENT}test_scheduler_deadline_has_its_three_times",
            ),
            done(
                "process.scheduler.flags",
                f"{_UNIT}test_plan_process.py::test_scheduler_is_the_kernels_structure",
                untested="utilization clamping: the kernels here are built without UCLAMP_TASK",
            ),
            done(
                "process.selinuxLabel",
                f"{_UNIT}test_plan_process.py::test_labels_are_written_before_what_could_refuse_them",
                untested="SELinux is active on no machine of the project",
            ),
            *each(
                "process.ioPriority",
                ("", ".class", ".priority", *(f".class={name}" for name in sorted(vocabulary.IO_CLASSES))),
                f"{_PLACEMENT}test_io_priority_is_class_and_level",
            ),
            *each(
                "process.execCPUAffinity",
                ("", ".initial", ".final"),
                f"{_PLACEMENT}test_exec_runs_on_its_final_cpus",
            ),
        ),
    ),
    Section(
        "User",
        "config.md#user",
        (
            done("process.user", f"{_PRIVILEGES}test_process_of_another_user_has_no_capability"),
            done("process.user.uid", f"{_PRIVILEGES}test_process_of_another_user_has_no_capability"),
            done("process.user.gid", f"{_INHERITED}test_program_with_groups_has_those_and_no_others"),
            done(
                "process.user.umask",
                f"{_PROPERTIES}test_umask_is_that_of_the_config",
                "022 where it is not given",
            ),
            done(
                "process.user.additionalGids", f"{_INHERITED}test_program_with_groups_has_those_and_no_others"
            ),
            not_linux("process.user.username"),
        ),
    ),
    Section(
        "Names",
        "config.md#hostname",
        (
            done("hostname", f"{_BOUNDS}test_hostname_of_the_kernels_length_is_kept"),
            done("domainname", f"{_PROPERTIES}test_domainname_is_the_containers"),
        ),
    ),
    Section(
        "Platforms",
        "config.md#platform-specific-configuration",
        (
            done("linux", f"{_VALIDATE}test_config_that_is_right_is_accepted"),
            not_linux("windows"),
            not_linux("solaris"),
            refused("vm"),
            not_linux("zos"),
            not_linux("freebsd"),
        ),
    ),
    Section(
        "Hooks",
        "config.md#posix-platform-hooks",
        (
            done("hooks", _TOLD),
            *each("hooks.", vocabulary.HOOKS, _TOLD),
            *(
                done(
                    f"hooks.{hook}[].{name}",
                    f"{_HOOKS}test_hook_that_takes_too_long_is_killed" if name == "timeout" else _TOLD,
                )
                for hook in vocabulary.HOOKS
                for name in ("path", "args", "env", "timeout")
            ),
            done("hooks: state on standard input", _TOLD),
            done("hooks: order", f"{_HOOKS}test_hooks_of_one_kind_run_in_order"),
            done(
                "hooks: failure of one before the start ends the container",
                f"{_HOOKS}test_hook_that_fails_ends_the_start_and_says_which",
            ),
            done(
                "hooks: failure of a poststart ends the container",
                f"{_HOOKS}test_poststart_hook_that_fails_ends_the_container",
            ),
            done(
                "hooks: failure of a poststop is a warning",
                f"{_HOOKS}test_poststop_hook_that_fails_stops_neither_the_others_nor_the_end",
            ),
        ),
    ),
    Section(
        "Annotations, extensibility, valid values",
        "config.md#annotations",
        (
            done("annotations", _WRONG),
            done(
                "annotations: org.systemd.property.*",
                "tests/unit/runtime/test_cgroup_systemd_properties.py::test_annotation_becomes_a_property",
                untested="only in the virtual machine: the hosts have no systemd",
            ),
            done("unknown properties", f"{_VALIDATE}test_value_that_is_right_is_accepted", "passed over"),
            done("invalid values", _WRONG, "InvalidArgument, with the path"),
        ),
    ),
)

# ---- runtime.md, runtime-linux.md, features.md ----

_LIFECYCLE = (
    Section(
        "State and lifecycle",
        "runtime.md#state",
        (
            *each(
                "state.",
                ("ociVersion", "id", "status", "pid", "bundle", "annotations"),
                "tests/integration/test_oci_runc.py::test_states_are_alike",
            ),
            *each(
                "state.status=",
                ("creating", "created", "running", "stopped"),
                "tests/unit/spec/test_lifecycle.py::test_check_each_verb_in_each_state",
            ),
            done(
                "state.status=paused",
                "tests/unit/spec/test_lifecycle.py::test_check_each_verb_in_each_state",
                "not the specification's: runc's",
            ),
        ),
    ),
    Section(
        "Operations",
        "runtime.md#operations",
        (
            done("operation: state", "tests/integration/test_oci_verbs.py::test_life_all_states_in_order"),
            done("operation: create", f"{_RUNTIME}test_created_container_runs_only_after_start"),
            done(
                "operation: create with an id that is taken",
                "tests/integration/test_oci_verbs.py::test_create_id_that_is_taken",
            ),
            done(
                "operation: create that fails leaves nothing",
                f"{_RUNTIME}test_create_that_fails_leaves_no_process_cgroup_or_record",
            ),
            done("operation: start", f"{_RUNTIME}test_started_container_refuses_another_start"),
            done("operation: kill", f"{_RUNTIME}test_ended_container_refuses_a_signal"),
            done("operation: delete", "tests/integration/test_oci_verbs.py::test_life_all_states_in_order"),
            done(
                "operation: delete of a container that runs",
                "tests/integration/test_oci_verbs.py::test_delete_one_that_lives_is_refused",
            ),
            done("warnings", f"{_VALIDATE}test_capability_that_does_not_exist_is_a_warning"),
        ),
    ),
    Section(
        "Descriptors and sockets",
        "runtime-linux.md#file-descriptors",
        (
            done(
                "descriptors: none but stdin, stdout, stderr",
                f"{_DESCRIPTORS}test_container_has_no_descriptor_but_stdio",
            ),
            done(
                "descriptors: LISTEN_FDS",
                "tests/integration/test_oci_streams.py::test_sockets_of_systemd_are_passed_with_their_names",
            ),
            done(
                "socket: console",
                "tests/integration/test_oci_streams.py::test_console_socket_of_create_takes_the_master",
            ),
            done(
                "keyring: of the session",
                f"{_BINARY}test_container_session_keyring_is_not_the_callers",
                "not the specification's: runc's",
            ),
        ),
    ),
    Section(
        "Features",
        "features.md",
        (
            *each(
                "features.",
                (
                    "ociVersionMin",
                    "ociVersionMax",
                    "hooks",
                    "mountOptions",
                    "annotations",
                    "potentiallyUnsafeConfigAnnotations",
                ),
                f"{_FEATURES}test_document_is_right_by_the_schema",
            ),
            *each(
                "features.linux.",
                (
                    "namespaces",
                    "capabilities",
                    "cgroup",
                    "seccomp",
                    "apparmor",
                    "selinux",
                    "intelRdt",
                    "memoryPolicy",
                    "mountExtensions",
                    "netDevices",
                ),
                f"{_FEATURES}test_document_is_right_by_the_schema",
            ),
        ),
    ),
)

SECTIONS: tuple[Section, ...] = (*_CONFIG, *LINUX, *_LIFECYCLE)
