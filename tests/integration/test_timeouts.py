"""Time-outs are kept by every verb that has one, also where nobody answers and where a program never stops writing."""

from __future__ import annotations

import contextlib
import inspect
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

import containerlib as cl
from rig.images import Image, Layer, busybox_layer
from rig.lifetime import shim_of
from rig.scripted_registry import Answer, ScriptedRegistry

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

SHORT = 0.3
LONG = 20.0
"""Less than what a supervisor is given to answer those who have no time-out."""


def outcome(verb: Callable[[], object]) -> BaseException | None:
    """What the verb raised; fails where it does not come back in `LONG` seconds."""
    raised: list[BaseException | None] = []

    def call() -> None:
        try:
            verb()
        except Exception as error:
            raised.append(error)
        else:
            raised.append(None)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(LONG)
    assert raised, "it waits on"
    return raised[0]


@pytest.fixture
def silent(box: cl.ContainerRecipe) -> Iterator[cl.Container]:
    """A container whose supervisor is stopped: it runs, and nobody tells of it."""
    recipe = box.healthy_when(cl.command("false"), every=1000.0)
    container = recipe.start("sleep", "1000", detach=True)
    shim = shim_of(container)
    os.kill(shim, signal.SIGSTOP)
    try:
        yield container
    finally:
        os.kill(shim, signal.SIGCONT)
        container.remove(force=True)


@pytest.fixture
def flooding(box: cl.ContainerRecipe) -> Iterator[cl.Container]:
    """A container that writes faster than its log can be read."""
    with box.log(max_size="1MiB").start("yes") as container:
        yield container


VERBS: dict[str, Callable[[cl.Container], object]] = {
    "wait": lambda c: c.wait(SHORT),
    "wait for the next exit": lambda c: c.wait(SHORT, condition="next-exit"),
    "wait for the removal": lambda c: c.wait(SHORT, condition="removed"),
    "wait for health": lambda c: c.wait(SHORT, condition="healthy"),
    "wait_healthy": lambda c: c.wait_healthy(SHORT),
    "wait_for a line": lambda c: c.wait_for(log="never", timeout=SHORT),
    "wait_for a port": lambda c: c.wait_for(port=80, timeout=SHORT),
    "wait_for http": lambda c: c.wait_for(http="/", timeout=SHORT),
    "wait_for a command": lambda c: c.wait_for(exec=("false",), timeout=SHORT),
    "wait_for a command that hangs": lambda c: c.wait_for(exec=("sleep", "1000"), timeout=SHORT),
    "exec": lambda c: c.exec("sleep", "1000", timeout=SHORT),
    "exec on a terminal": lambda c: c.exec("sleep", "1000", tty=True, timeout=SHORT),
}


@pytest.mark.parametrize("name", VERBS)
def test_timeout_is_kept_where_the_supervisor_does_not_answer(silent: cl.Container, name: str) -> None:
    error = outcome(lambda: VERBS[name](silent))
    assert isinstance(error, cl.Timeout), error


def test_timeout_of_a_command_of_another_user_is_kept_where_the_supervisor_does_not_answer(
    silent: cl.Container,
) -> None:
    error = outcome(lambda: silent.exec("sleep", "1000", user="root", timeout=SHORT))
    assert isinstance(error, cl.Timeout | cl.Unavailable), error


def test_timeout_of_a_process_is_kept_where_its_supervisor_does_not_answer(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "1000") as container, contextlib.ExitStack() as stack:
        processes = [container.attach(), container.spawn("sleep", "1000"), box.spawn("sleep", "1000")]
        for process in processes:
            stack.enter_context(process)
        shims = [shim_of(container), *(parent_of(process.pid) for process in processes[1:])]
        for shim in shims:
            os.kill(shim, signal.SIGSTOP)
            stack.callback(os.kill, shim, signal.SIGCONT)
        for process in processes:
            assert isinstance(outcome(lambda p=process: p.wait(SHORT)), cl.Timeout)  # type: ignore[misc]


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_until_of_a_log_is_kept_where_the_supervisor_does_not_answer(silent: cl.Container) -> None:
    until = datetime.now(UTC) + timedelta(seconds=SHORT)
    error = outcome(lambda: list(silent.logs(follow=True, until=until)))
    assert error is None or isinstance(error, cl.Unavailable)


def test_timeout_of_a_line_is_kept_where_lines_come_without_end(flooding: cl.Container) -> None:
    error = outcome(lambda: flooding.wait_for(log="never", timeout=SHORT))
    assert isinstance(error, cl.Timeout)
    assert set(error.log_tail) == {"y"}


def test_until_of_a_log_is_kept_where_lines_come_without_end(flooding: cl.Container) -> None:
    until = datetime.now(UTC) + timedelta(seconds=SHORT)
    assert outcome(lambda: [None for _ in flooding.logs(follow=True, until=until)]) is None


def test_timeout_of_a_run_is_kept_while_it_floods(box: cl.ContainerRecipe) -> None:
    assert isinstance(outcome(lambda: box.run("yes", timeout=SHORT)), cl.Timeout)


@pytest.mark.parametrize("end", ["stop", "close"])
def test_spawn_that_nobody_reads_is_ended_by_others_all_the_same(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None], end: str
) -> None:
    """Who would read it is there, and its supervisor has something for him."""
    process = box.spawn("yes")
    select.select([process.stdout], [], [], LONG)
    (container,) = box.engine.containers.list()
    verb = (lambda: container.stop(timeout=0.1)) if end == "stop" else box.engine.close
    assert outcome(verb) is None
    process.close()
    left_nothing()


def test_timeout_of_a_run_is_kept_where_the_registry_of_its_image_stalls(engine: cl.Engine) -> None:
    hold = threading.Event()
    image = Image((busybox_layer(), Layer().file("x", "y").finish()), {})
    with ScriptedRegistry(image) as registry:
        registry.fault = lambda request: Answer(hold=hold) if registry.layers[1] in request.path else None
        reference = registry.reference
        host = engine.container(engine.host_image())
        for recipe in (engine.container(reference), host.mount(engine.image(reference), at="/mnt")):
            error = outcome(lambda recipe=recipe: recipe.run("true", timeout=SHORT))  # type: ignore[misc]
            assert isinstance(error, cl.Timeout), error
            assert "not pulled" in str(error)
        assert (engine.containers.list(), engine.images.list()) == ([], [])
        hold.set()
        registry.fault = lambda _: None
        assert engine.container(reference).run("cat", "/x", timeout=600.0).text == "y"


def test_timeout_is_a_word_of_every_verb_that_waits_for_a_container() -> None:
    faces = (cl.Container, cl.ContainerRecipe, cl.Process)
    found = {
        f"{face.__name__}.{name}"
        for face in faces
        for name, verb in inspect.getmembers(face, inspect.isfunction)
        if "timeout" in inspect.signature(verb).parameters and not name.startswith("_")
    }
    assert found == {
        "Container.exec",
        "Container.restart",
        "Container.stop",
        "Container.wait",
        "Container.wait_for",
        "Container.wait_healthy",
        "ContainerRecipe.healthy_when",
        "ContainerRecipe.run",
        "Process.wait",
    }
