"""Every command with its flags and words, as data: the parser and the help are made of it."""

from __future__ import annotations

from containerlib.oci_cli.parser import Flag

__all__ = ["COMMANDS", "GLOBAL", "Command"]

_MANY = 1 << 30


class Command:
    """`usage` follows the command's name in the help. `least` and `most` arguments; `mixed`: flags may follow them."""

    __slots__ = ("flags", "least", "mixed", "most", "name", "summary", "usage")

    def __init__(
        self,
        name: str,
        summary: str,
        usage: str = "<container-id>",
        *,
        flags: tuple[Flag, ...] = (),
        least: int = 1,
        most: int = 1,
        mixed: bool = True,
    ) -> None:
        self.name = name
        self.summary = summary
        self.usage = usage
        self.flags = flags
        self.least = least
        self.most = most
        self.mixed = mixed


GLOBAL = (
    Flag("debug", "bool", "write what is done to the log"),
    Flag("log", "text", "the file that the log is written to (default: standard error)"),
    Flag("log-format", "text", "text or json", "text"),
    Flag(
        "root", "text", "the directory of the containers' state, on a tmpfs (default: /run/containerlib-oci)"
    ),
    Flag("criu", "text", "the program that makes checkpoints", "criu"),
    Flag("systemd-cgroup", "bool", 'the groups are made by systemd, and cgroupsPath is "slice:prefix:name"'),
    Flag("cgroup-manager", "text", "who makes the groups: cgroupfs, systemd or, for none, disabled"),
    Flag("rootless", "text", "whether failures of cgroups are passed over: true, false or auto", "auto"),
    Flag("help h", "bool", "show this"),
    Flag("version v", "bool", "show the version"),
)

_BUNDLE = Flag("bundle b", "text", "the bundle's directory (default: the current one)")
_CONSOLE = Flag("console-socket", "text", "a unix socket that takes the master of the container's terminal")
_PIDFD = Flag("pidfd-socket", "text", "a unix socket that takes a pidfd of the process")
_PID_FILE = Flag("pid-file", "text", "the file that the process id is written to")
_PRESERVE = Flag("preserve-fds", "int", "pass N descriptors more (3 + $LISTEN_FDS + N in all)", 0)
_DETACH = Flag("detach d", "bool", "do not wait for the process")
_REGEX = Flag("regex r", "bool", "the id is a regular expression: all containers in whose ids it is found")
_FORMAT = Flag("format f", "text", "table or json", "table")
_NEW = (
    _BUNDLE,
    Flag("config f", "text", "another file than the bundle's config.json"),
    _CONSOLE,
    _PIDFD,
    _PID_FILE,
    Flag("no-pivot", "bool", "do not change the root by pivot_root(2): for a root on a ramdisk"),
    Flag("no-new-keyring", "bool", "let the container have the caller's session keyring"),
    _PRESERVE,
)
_SUBREAPER = Flag("no-subreaper", "bool", "do not reap what the container leaves behind")
_RUN = (
    _DETACH,
    Flag("keep", "bool", "do not delete the container when it has ended"),
    _SUBREAPER,
)
_EXEC = (
    _CONSOLE,
    _PIDFD,
    Flag("cwd", "text", "the working directory in the container"),
    Flag("env e", "list", "NAME=VALUE, also several times"),
    Flag("tty t", "bool", "give the process a terminal"),
    Flag("user u", "text", "UID[:GID]"),
    Flag("additional-gids g", "list", "more groups, also several times"),
    Flag("process p", "text", "a file with the process as JSON"),
    _DETACH,
    _PID_FILE,
    Flag("process-label", "text", "the SELinux label of the process"),
    Flag("apparmor", "text", "the AppArmor profile of the process"),
    Flag("no-new-privs", "bool", "the process cannot gain privileges"),
    Flag("cap c", "list", "a capability more, also several times"),
    _PRESERVE,
    Flag("cgroup", "list", "run it in a group below the container's: [CONTROLLER,...:]PATH"),
    Flag("ignore-paused", "bool", "allow this in a paused container"),
)
_CHECKPOINT = (
    Flag("image-path", "text", "the directory of the images (default: checkpoint)"),
    Flag("work-path", "text", "the directory for CRIU's log and temporary files"),
    Flag("tcp-established", "bool", "allow open TCP connections, which go on"),
    Flag("ext-unix-sk", "bool", "allow unix sockets that are connected to others outside"),
    Flag("shell-job", "bool", "allow a session and a terminal of somebody else"),
    Flag("lazy-pages", "bool", "memory comes when it is touched, from criu lazy-pages"),
    Flag("file-locks", "bool", "allow locks on files, which are taken again"),
    Flag(
        "manage-cgroups-mode",
        "text",
        "what CRIU does about cgroups: ignore, none, props, soft, full or strict",
    ),
    Flag("empty-ns", "list", "network: the namespace is made empty, for hooks to fill"),
    Flag("auto-dedup", "bool", "take out of the images what is there twice"),
)
_DUMP = (
    *_CHECKPOINT,
    Flag("parent-path", "text", "the images of an earlier pre-dump, from those of this one"),
    Flag("leave-running", "bool", "let the container go on"),
    Flag("tcp-skip-in-flight", "bool", "leave out TCP connections that are being made"),
    Flag("link-remap", "bool", "ignored: files without a name are always kept"),
    Flag("status-fd", "int", "a descriptor that is written to when lazy pages may be asked for"),
    Flag("page-server", "text", "ADDRESS:PORT of a page server that takes the memory"),
    Flag("pre-dump", "bool", "dump the memory alone, and let the container go on"),
)
_RESTORE = (
    _BUNDLE,
    _CONSOLE,
    _PIDFD,
    _PID_FILE,
    _DETACH,
    *_CHECKPOINT,
    _SUBREAPER,
    Flag("no-pivot", "bool", "ignored: the root is CRIU's to change"),
    Flag("lsm-profile", "text", "TYPE:NAME that processes are confined by, in place of what they had"),
    Flag("lsm-mount-context", "text", "the SELinux context of mounts, in place of what they had"),
)
_UPDATE = (
    Flag(
        "resources r",
        "text",
        "a file with the resources as JSON, or - for standard input; other flags are ignored",
    ),
    Flag("blkio-weight", "int", "the weight of block I/O, 10 to 1000"),
    Flag("cpu-period", "text", "CFS period in microseconds"),
    Flag("cpu-quota", "text", "CFS quota in microseconds"),
    Flag("cpu-burst", "text", "CFS burst in microseconds"),
    Flag("cpu-share", "text", "CPU shares, relative to other containers"),
    Flag("cpu-rt-period", "text", "real-time period in microseconds"),
    Flag("cpu-rt-runtime", "text", "real-time budget in microseconds"),
    Flag("cpu-idle", "text", "1: only what nobody else wants"),
    Flag("cpuset-cpus", "text", "the CPUs that may be used, as 0-3,7"),
    Flag("cpuset-mems", "text", "the memory nodes that may be used"),
    Flag("kernel-memory", "text", "ignored: kernels keep no limit on their own memory"),
    Flag("kernel-memory-tcp", "text", "ignored, as kernel-memory"),
    Flag("memory", "text", "memory limit in bytes, or as 64M; -1: none"),
    Flag("memory-reservation", "text", "the memory that is kept for it where there is little"),
    Flag("memory-swap", "text", "limit on memory and swap together; -1: none"),
    Flag("pids-limit", "int", "the most processes"),
    Flag("l3-cache-schema", "text", "Intel RDT: the schema of the L3 cache"),
    Flag("mem-bw-schema", "text", "Intel RDT: the schema of memory bandwidth"),
)

COMMANDS = {
    command.name: command
    for command in (
        Command("checkpoint", "write the processes of a container to files", flags=_DUMP),
        Command("create", "make a container, whose program waits for start", flags=(*_NEW, _SUBREAPER)),
        Command(
            "delete",
            "remove a stopped container",
            flags=(Flag("force f", "bool", "kill it first; a container that is not there is fine"), _REGEX),
        ),
        Command(
            "events",
            "print figures of a container, and each time that the kernel kills for its memory limit",
            flags=(
                Flag("interval", "duration", "the time between figures", "5s"),
                Flag("stats", "bool", "print the figures once"),
            ),
        ),
        Command(
            "exec",
            "run another process in a container",
            "<container-id> <command> [args...] | -p process.json <container-id>",
            flags=_EXEC,
            most=_MANY,
            mixed=False,
        ),
        Command("features", "print what this runtime can do, as JSON", "", least=0, most=0),
        Command(
            "kill",
            "send a signal to a container's first process",
            "<container-id> [signal]",
            flags=(Flag("all a", "bool", "send it to all processes of the container"), _REGEX),
            most=2,
        ),
        Command(
            "list",
            "list the containers",
            "",
            flags=(_FORMAT, Flag("quiet q", "bool", "print the ids alone")),
            least=0,
            most=0,
        ),
        Command("pause", "suspend all processes of a container"),
        Command(
            "ps",
            "list the processes of a container",
            "<container-id> [options of ps]",
            flags=(_FORMAT,),
            most=_MANY,
            mixed=False,
        ),
        Command("restore", "make a container that goes on from a checkpoint", flags=_RESTORE),
        Command("resume", "let a paused container go on"),
        Command("run", "make a container, start it, and wait for its end", flags=(*_NEW, *_RUN)),
        Command(
            "spec",
            "write a config.json to begin with",
            "",
            flags=(
                _BUNDLE,
                Flag("file f", "text", "the file to write, from the bundle's directory", "config.json"),
                Flag("rootless", "bool", "one for a user without privileges"),
            ),
            least=0,
            most=0,
        ),
        Command("start", "run the program of a created container"),
        Command("state", "print the state of a container as JSON"),
        Command("update", "change the limits of a container", flags=_UPDATE),
    )
}
