"""Many containers in one event loop: asyncio's here, trio's by its own `run`."""

from __future__ import annotations

import asyncio
import tempfile

import anyio

from containerlib import aio


async def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        async with aio.Engine(root) as engine:
            host = engine.container(engine.host_image())

            # twenty containers at once, and one thread for their waiting
            answers: list[int] = []

            async def square(number: int) -> None:
                done = await host.run("sh", "-c", f"sleep 0.2; echo $(({number} * {number}))")
                answers.append(int(done.text))

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(square, number)
            print("sum of squares:", sum(answers))

            # a conversation
            async with await host.spawn("cat") as process:
                await process.stdin.send(b"there and back")
                print((await process.stdout.receive()).decode())

            # what is cancelled is cleaned up before the program goes on
            with anyio.move_on_after(0.3):
                await host.run("sleep", "1000")
            print("left:", await engine.containers.list())

            # a container for a block, and its log as it comes
            async with await host.start("sh", "-c", "echo ready; sleep 1000") as container:
                async for record in container.logs(follow=True):
                    print("log:", record.text)
                    break


asyncio.run(main())
