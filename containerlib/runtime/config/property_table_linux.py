"""The rows of config-linux.md. See properties.py.

Spec: runtime-spec config-linux.md
"""

from __future__ import annotations

from containerlib.runtime.config.property_types import Section, done, each, refused
from containerlib.spec import vocabulary

__all__ = ["LINUX"]

_UNIT = "tests/unit/runtime/"
_WRONG = f"{_UNIT}test_validate.py::test_value_that_is_wrong_is_named_by_its_path"
_STDIO = "tests/integration/test_runtime_stdio.py::"
_RUN = "tests/integration/test_run.py::"
_PLACEMENT = "tests/integration/oci_process/test_placement.py::"
_CLOCKS = "tests/integration/oci_process/test_clocks.py::"
_DEVICES = "tests/integration/test_oci_net_devices.py::"
_RESCTRL = "no machine of the project has resctrl: a directory in its place is written to"
_GROUPS = "tests/integration/test_cgroups.py::"
_IMAGES = "tests/security/test_images.py::"
_PRIVILEGES = "tests/security/test_privileges.py::"
_PROPERTIES = "tests/integration/test_runtime_properties.py::"
_LIMITS = f"{_UNIT}test_cgroup_limits.py::"
_V1 = f"{_LIMITS}test_property_becomes_its_v1_file"
_AGENT = "tests/integration/test_oci_seccomp.py::"
_KILLABLE = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
_USERS = "tests/integration/test_oci_user_namespace.py::"


LINUX: tuple[Section, ...] = (
    Section(
        "Default file systems and devices",
        "config-linux.md#default-filesystems",
        (
            *each(
                "default file system: ",
                ("/proc", "/sys", "/dev/pts", "/dev/shm"),  # noqa: S108 - a path of the specification
                f"{_UNIT}test_plan.py::test_container_plan_of_a_full_config_is_the_golden_one",
            ),
            *each(
                "default device: ",
                ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"),
                f"{_GROUPS}test_harmless_devices_work_and_others_do_not",
            ),
            *each(
                "default device: ",
                ("/dev/console", "/dev/ptmx"),
                f"{_STDIO}test_terminal_of_an_exec_is_a_terminal_inside",
            ),
            *each(
                "default link: ",
                ("/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"),
                f"{_PROPERTIES}test_links_of_dev_lead_to_the_descriptors",
            ),
        ),
    ),
    Section(
        "Namespaces",
        "config-linux.md#namespaces",
        (
            done(
                "linux.namespaces",
                f"{_UNIT}test_plan.py::test_container_plan_of_a_full_config_is_the_golden_one",
            ),
            done("linux.namespaces[].type", _WRONG),
            *each(
                "linux.namespaces[].type=",
                ("pid", "network", "mount", "ipc", "uts", "cgroup"),
                f"{_RUN}test_run_is_a_container_of_its_own",
            ),
            done(
                "linux.namespaces[].type=user", f"{_USERS}test_root_of_a_user_namespace_is_nobody_on_the_host"
            ),
            done(
                "linux.namespaces[].type=time",
                f"{_CLOCKS}test_time_namespace_without_offsets_is_new_all_the_same",
            ),
            done(
                "linux.namespaces[].path",
                f"{_UNIT}test_plan.py::test_container_plan_with_a_namespace_by_path_joins_it",
            ),
            done(
                "linux.namespaces[].path: of another type",
                f"{_PROPERTIES}test_namespace_by_a_path_of_another_type_fails",
            ),
            done(
                "linux.namespaces: not listed",
                f"{_PROPERTIES}test_namespaces_that_are_not_listed_are_the_callers",
            ),
            done("linux.namespaces: twice", _WRONG),
            done(
                "linux.namespaces without mount",
                "tests/integration/test_oci_unmounted.py::"
                "test_container_without_a_mount_namespace_runs_in_its_directory",
                "by chroot(2) into a directory of the runtime's; what would be mounted is Unsupported",
            ),
            *(
                done(f"linux.{name}{part}", f"{_USERS}test_file_of_a_user_namespace_belongs_to_the_mapped_id")
                for name in ("uidMappings", "gidMappings")
                for part in ("", "[].containerID", "[].hostID", "[].size")
            ),
            done("linux.timeOffsets", f"{_CLOCKS}test_clocks_of_a_new_time_namespace_are_ahead"),
            *(
                done(
                    f"linux.timeOffsets.{clock}.{part}",
                    f"{_CLOCKS}test_clocks_of_a_new_time_namespace_are_ahead",
                )
                for clock in ("boottime", "monotonic")
                for part in ("secs", "nanosecs")
            ),
        ),
    ),
    Section(
        "Devices",
        "config-linux.md#devices",
        (
            done(
                "linux.devices", f"{_RUN}test_privileged_run_has_the_hosts_devices_and_a_terminal_of_its_own"
            ),
            *each(
                "linux.devices[].",
                ("path", "type", "major", "minor", "fileMode", "uid", "gid"),
                f"{_PROPERTIES}test_devices_are_made_with_type_number_mode_and_owner",
            ),
            *each(
                "linux.devices[].type=",
                sorted(vocabulary.DEVICE_TYPES),
                f"{_PROPERTIES}test_devices_are_made_with_type_number_mode_and_owner",
            ),
            done(
                "linux.devices: another file is there",
                f"{_PROPERTIES}test_device_where_another_file_is_fails",
            ),
        ),
    ),
    Section(
        "Network devices",
        "config-linux.md#network-devices",
        (
            done(
                "linux.netDevices",
                f"{_DEVICES}test_traffic_goes_through_a_device_that_moved",
                untested="physical devices; virtual ones are moved",
            ),
            done(
                "linux.netDevices.*.name",
                f"{_DEVICES}test_device_with_a_name_that_is_taken_inside_stays_where_it_is",
            ),
            done(
                "linux.netDevices.*.name: template %d",
                f"{_DEVICES}test_template_takes_the_first_names_that_are_free",
            ),
            done(
                "linux.netDevices: addresses kept, link up",
                f"{_DEVICES}test_device_moves_with_its_lasting_addresses_and_is_up",
            ),
        ),
    ),
    Section(
        "Control groups",
        "config-linux.md#control-groups",
        (
            done(
                "linux.cgroupsPath",
                f"{_UNIT}test_cgroups.py::test_v1_container_has_devices_and_freezer_and_nothing_else",
            ),
            done(
                "linux.cgroupsPath: v2",
                f"{_UNIT}test_cgroups.py::test_v2_container_has_one_directory_and_the_controllers_that_it_needs",
                untested="only in the virtual machine: the hosts have v1 and a v2 tree without controllers",
            ),
            done(
                "linux.cgroupsPath: relative",
                f"{_UNIT}test_cgroup_path.py::test_relative_path_is_below_the_callers_own_group_of_each_v1_controller",
            ),
            done(
                "linux.cgroupsPath: systemd",
                f"{_UNIT}test_cgroup_path.py::test_systemd_path_names_a_scope_in_a_slice",
                untested="only in the virtual machine: the hosts have no systemd",
            ),
            done(
                "linux.cgroupsPath: systemd of a user",
                f"{_UNIT}test_cgroup_path.py::test_systemd_path_has_defaults_for_system_and_user",
                untested="only in the virtual machine: the hosts have no systemd",
            ),
            done(
                "linux.cgroupsPath: of another container",
                f"{_UNIT}test_cgroups.py::test_group_of_a_running_container_is_not_taken_over",
            ),
            done(
                "linux.cgroupsPath: ownership",
                f"{_UNIT}test_cgroup_owner.py::test_group_and_its_delegated_files_are_given_and_no_others",
            ),
            done(
                "linux.resources",
                f"{_UNIT}test_cgroup_limits.py::test_limits_become_v1_files_memory_before_swap",
            ),
            done("linux.resources.devices", f"{_GROUPS}test_harmless_devices_work_and_others_do_not"),
            *each(
                "linux.resources.devices[].",
                ("allow", "type", "major", "minor", "access"),
                f"{_UNIT}test_device_filter.py::test_program_decides_as_the_specification_says",
            ),
        ),
    ),
    Section(
        "Memory",
        "config-linux.md#memory",
        (
            done("linux.resources.memory", f"{_GROUPS}test_memory_limit_kills_and_is_counted"),
            done("linux.resources.memory.limit", f"{_GROUPS}test_memory_limit_kills_and_is_counted"),
            done("linux.resources.memory.reservation", _V1),
            done("linux.resources.memory.swap", f"{_LIMITS}test_limits_become_v1_files_memory_before_swap"),
            done(
                "linux.resources.memory.kernel",
                f"{_LIMITS}test_empty_sections_and_unset_values_of_other_tools_are_passed_over",
                sentence="read and let go: no kernel since 5.16 keeps it",
            ),
            *each(
                "linux.resources.memory.",
                ("kernelTCP", "swappiness", "disableOOMKiller", "useHierarchy"),
                _V1,
            ),
            done(
                "linux.resources.memory.checkBeforeUpdate",
                "tests/integration/test_cgroup_update.py::test_limit_below_what_is_used_is_a_conflict_and_kills_nobody",
            ),
        ),
    ),
    Section(
        "CPU",
        "config-linux.md#cpu",
        (
            done("linux.resources.cpu", f"{_GROUPS}test_cpu_limit_slows_a_busy_process"),
            *each(
                "linux.resources.cpu.", ("quota", "period"), f"{_GROUPS}test_cpu_limit_slows_a_busy_process"
            ),
            *each("linux.resources.cpu.", ("shares", "burst", "cpus", "mems", "idle"), _V1),
            *each(
                "linux.resources.cpu.",
                ("realtimeRuntime", "realtimePeriod"),
                _V1,
                untested="the kernels here are built without RT_GROUP_SCHED",
            ),
        ),
    ),
    Section(
        "Block IO",
        "config-linux.md#block-io",
        (
            done("linux.resources.blockIO", _V1),
            done(
                "linux.resources.blockIO.weight",
                f"{_LIMITS}test_block_weight_has_a_second_file_for_another_scheduler",
            ),
            done(
                "linux.resources.blockIO.leafWeight",
                _V1,
                untested="CFQ's alone, which no kernel since 5.0 has",
            ),
            done("linux.resources.blockIO.weightDevice", _V1),
            *each("linux.resources.blockIO.weightDevice[].", ("major", "minor", "weight"), _V1),
            done(
                "linux.resources.blockIO.weightDevice[].leafWeight",
                _V1,
                untested="CFQ's alone, which no kernel since 5.0 has",
            ),
            *(
                done(f"linux.resources.blockIO.throttle{what}Device{part}", _V1)
                for what in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")
                for part in ("", "[].major", "[].minor", "[].rate")
            ),
        ),
    ),
    Section(
        "Huge pages, network classes, PIDs, RDMA, unified",
        "config-linux.md#huge-page-limits",
        (
            *each(
                "linux.resources.hugepageLimits",
                ("", "[].pageSize", "[].limit"),
                f"{_LIMITS}test_hugepages_are_limited_in_use_and_where_the_kernel_can_in_reservations",
            ),
            *each(
                "linux.resources.network",
                ("", ".classID", ".priorities", ".priorities[].name", ".priorities[].priority"),
                _V1,
            ),
            *each("linux.resources.pids", ("", ".limit"), f"{_GROUPS}test_pids_limit_stops_forks"),
            *each(
                "linux.resources.rdma",
                ("", ".*.hcaHandles", ".*.hcaObjects"),
                f"{_LIMITS}test_property_becomes_its_v2_file",
                untested="no machine of the project has an RDMA device",
            ),
            done(
                "linux.resources.unified",
                f"{_UNIT}test_cgroup_limits.py::test_property_becomes_its_v2_file",
            ),
        ),
    ),
    Section(
        "Intel RDT",
        "config-linux.md#intelrdt",
        (
            *each(
                "linux.intelRdt",
                ("", ".closID"),
                f"{_PLACEMENT}test_class_of_service_takes_the_container_and_its_execs",
                untested=_RESCTRL,
            ),
            done(
                "linux.intelRdt.schemata",
                f"{_UNIT}test_resctrl.py::test_schemata_are_written_as_they_are_to_a_class_that_is_there",
                untested=_RESCTRL,
            ),
            *each(
                "linux.intelRdt.",
                ("l3CacheSchema", "memBwSchema"),
                f"{_UNIT}test_resctrl.py::test_schema_of_a_class_that_is_there_may_not_be_another",
                untested=_RESCTRL,
            ),
            done(
                "linux.intelRdt.enableMonitoring",
                f"{_UNIT}test_resctrl.py::test_monitoring_has_a_group_of_the_containers_own_in_its_class",
                untested=_RESCTRL,
            ),
        ),
    ),
    Section(
        "Memory policy",
        "config-linux.md#memory-policy",
        (
            *each(
                "linux.memoryPolicy",
                ("", ".mode", ".nodes", ".flags"),
                f"{_PLACEMENT}test_memory_policy_is_the_containers",
                untested="more than one node: the machines have one",
            ),
            *each(
                "linux.memoryPolicy.mode=",
                sorted(vocabulary.MEMORY_POLICY_MODES),
                f"{_PLACEMENT}test_memory_policy_is_the_containers",
            ),
            *each(
                "linux.memoryPolicy.flags[]=",
                sorted(vocabulary.MEMORY_POLICY_FLAGS),
                f"{_PLACEMENT}test_memory_policy_is_the_containers",
            ),
        ),
    ),
    Section(
        "Sysctl",
        "config-linux.md#sysctl",
        (
            done(
                "linux.sysctl", f"{_IMAGES}test_sysctl_through_a_link_in_the_image_does_not_write_elsewhere"
            ),
            done(
                "linux.sysctl: of no namespace of the container's",
                f"{_IMAGES}test_sysctl_of_the_host_is_refused",
                "InvalidArgument: it would change the host",
            ),
        ),
    ),
    Section(
        "Seccomp",
        "config-linux.md#seccomp",
        (
            done("linux.seccomp", f"{_PRIVILEGES}test_process_is_filtered"),
            done(
                "linux.seccomp.defaultAction",
                f"{_UNIT}test_seccomp.py::test_every_call_is_judged_as_the_section_says",
            ),
            done(
                "linux.seccomp.defaultErrnoRet",
                f"{_UNIT}test_seccomp.py::test_kernel_takes_the_filter_and_answers_as_the_profile_says",
            ),
            done(
                "linux.seccomp.architectures",
                f"{_UNIT}test_seccomp.py::test_other_architectures_of_the_machine_are_filtered_too",
            ),
            done("linux.seccomp.flags", f"{_AGENT}test_flag_is_taken_by_the_kernel"),
            *each(
                "linux.seccomp.flags[]=",
                sorted(vocabulary.SECCOMP_FLAGS - {_KILLABLE}),
                f"{_AGENT}test_flag_is_taken_by_the_kernel",
            ),
            done(
                f"linux.seccomp.flags[]={_KILLABLE}",
                f"{_AGENT}test_call_that_an_agent_has_received_waits_for_its_word",
            ),
            done("linux.seccomp.listenerPath", f"{_AGENT}test_agent_judges_the_calls_that_it_was_given"),
            done("linux.seccomp.listenerMetadata", f"{_AGENT}test_agent_judges_the_calls_that_it_was_given"),
            done(
                "linux.seccomp: container process state",
                f"{_AGENT}test_agent_judges_the_calls_that_it_was_given",
            ),
            done(
                "linux.seccomp.syscalls",
                f"{_UNIT}test_seccomp.py::test_every_call_is_judged_as_the_section_says",
            ),
            done(
                "linux.seccomp.syscalls[].names",
                f"{_UNIT}test_seccomp.py::test_unknown_names_and_architectures_are_passed_over",
            ),
            done(
                "linux.seccomp.syscalls[].action",
                f"{_UNIT}test_seccomp.py::test_every_call_is_judged_as_the_section_says",
            ),
            *each(
                "linux.seccomp.syscalls[].action=",
                sorted(vocabulary.SECCOMP_ACTIONS - {"SCMP_ACT_NOTIFY"}),
                f"{_AGENT}test_action_is_what_the_program_meets",
            ),
            done(
                "linux.seccomp.syscalls[].action=SCMP_ACT_NOTIFY",
                f"{_AGENT}test_agent_judges_the_calls_that_it_was_given",
            ),
            done(
                "linux.seccomp.syscalls[].errnoRet",
                f"{_UNIT}test_seccomp.py::test_every_call_is_judged_as_the_section_says",
            ),
            done(
                "linux.seccomp.syscalls[].args",
                f"{_UNIT}test_seccomp.py::test_arguments_are_compared_in_all_their_64_bits",
            ),
            *each(
                "linux.seccomp.syscalls[].args[].",
                ("index", "value", "op"),
                f"{_UNIT}test_seccomp.py::test_arguments_are_compared_in_all_their_64_bits",
            ),
            done(
                "linux.seccomp.syscalls[].args[].valueTwo",
                f"{_UNIT}test_seccomp.py::test_masked_comparison_takes_the_mask_first",
            ),
        ),
    ),
    Section(
        "Root propagation, paths, label, personality",
        "config-linux.md#rootfs-mount-propagation",
        (
            done(
                "linux.rootfsPropagation",
                f"{_UNIT}test_plan.py::test_container_plan_of_a_wrong_value_names_its_property",
            ),
            *each(
                "linux.rootfsPropagation=",
                sorted(vocabulary.PROPAGATIONS),
                "tests/integration/test_oci_mounts_binds.py::test_propagation_of_the_root",
            ),
            done("linux.maskedPaths", f"{_IMAGES}test_masked_and_read_only_paths_hold_by_default"),
            done("linux.readonlyPaths", f"{_IMAGES}test_masked_and_read_only_paths_hold_by_default"),
            done(
                "linux.mountLabel",
                f"{_UNIT}test_labels.py::test_mount_label_is_an_option_of_new_file_systems",
                untested="SELinux is active on no machine of the project",
            ),
            *each(
                "linux.personality",
                ("", ".domain", ".domain=LINUX32"),
                f"{_PLACEMENT}test_personality_linux32_is_another_machine",
            ),
            done("linux.personality.domain=LINUX", f"{_PLACEMENT}test_personality_linux_is_the_kernels_own"),
            refused("linux.personality.flags"),
        ),
    ),
)
