"""Views that run on the event loop: what they await, and whom they keep from running."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse

from tests.truth.site.cost import note, now, spend, spend_now

_two = ThreadPoolExecutor(2, thread_name_prefix="truth")
_background: set[asyncio.Task] = set()


def _ms(request, name="ms", default=8.0):
    return float(request.GET.get(name, default))


async def native(_request):
    spend("native")
    return HttpResponse("native")


async def sleep(request):
    start = now()
    await asyncio.sleep(_ms(request) / 1000)
    note("sleep", start)
    return HttpResponse("slept")


async def lock(request):
    """Wait for a lock that a timer's callback releases."""
    held = asyncio.Lock()
    await held.acquire()
    asyncio.get_running_loop().call_later(_ms(request) / 1000, held.release)
    start = now()
    async with held:
        note("lock", start)
    return HttpResponse("locked")


async def executor(request):
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, spend_now, "executor", "sleep", _ms(request))
    return HttpResponse("done")


async def to_thread(request):
    await asyncio.to_thread(spend_now, "to_thread", "sleep", _ms(request))
    return HttpResponse("done")


async def hop(request):
    work = sync_to_async(spend_now, thread_sensitive=request.GET.get("sensitive") == "1")
    await work("hop", request.GET.get("how", "spin"), _ms(request))
    return HttpResponse("done")


async def gather(request):
    sensitive = request.GET.get("sensitive") == "1"
    work = sync_to_async(spend_now, thread_sensitive=sensitive)
    start = now()
    await asyncio.gather(
        work("gather.one", "sleep", _ms(request)), work("gather.two", "sleep", _ms(request))
    )
    note("gather", start)
    return HttpResponse("gathered")


async def custom_executor(request):
    work = SyncToAsync(spend_now, thread_sensitive=False, executor=_two)
    await work("custom", "sleep", _ms(request))
    return HttpResponse("done")


async def fill(request):
    """Fill the executor of two threads."""
    work = SyncToAsync(spend_now, thread_sensitive=False, executor=_two)
    await asyncio.gather(*(work("fill", "sleep", _ms(request)) for _ in range(2)))
    return HttpResponse("filled")


async def _child(label, request):
    spend_now(label, "spin", _ms(request) / 2)
    start = now()
    await asyncio.sleep(_ms(request) / 2000)
    note(f"{label}.sleep", start)


async def tasks(request):
    """Await one task, in every way there is."""
    way = request.GET["way"]
    coroutine = _child("task", request)
    if way == "task":
        await asyncio.create_task(coroutine)
    elif way == "wait_for":
        await asyncio.wait_for(coroutine, 5)
    elif way == "wait":
        await asyncio.wait([asyncio.create_task(coroutine)])
    elif way == "shield":
        await asyncio.shield(coroutine)
    elif way == "gather":
        await asyncio.gather(coroutine)
    elif way == "timeout":
        async with asyncio.timeout(5):
            await asyncio.create_task(coroutine)
    elif way == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(coroutine)
    return HttpResponse(way)


async def eager(request):
    """Start a task eagerly: its first step runs inside this one."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        task = asyncio.create_task(_child("task", request))
    finally:
        loop.set_task_factory(None)
    await task
    return HttpResponse("eager")


async def background(request):
    """Leave a task behind that runs while this one sleeps."""

    async def beside():
        await asyncio.sleep(0.002)
        spend_now("beside", "spin", 4)

    task = asyncio.create_task(beside())
    _background.add(task)
    task.add_done_callback(_background.discard)
    start = now()
    await asyncio.sleep(_ms(request) / 1000)
    note("main", start)
    return HttpResponse("background")


async def nested(request):
    """Three hand-offs deep: thread, loop, thread."""

    def outer():
        spend_now("outer", "spin", 2)
        async_to_sync(middle)()

    async def middle():
        spend_now("middle", "spin", 2)
        await sync_to_async(inner)()

    def inner():
        spend_now("inner", "spin", 2)

    await sync_to_async(outer)()
    return HttpResponse("nested")


async def block(request):
    spend_now("block", "spin", _ms(request))
    return HttpResponse("blocked")


def callback(ms):
    spend_now("callback", "spin", ms)


async def schedule(request):
    """Have the loop call back later, in a context that is nobody's."""
    asyncio.get_running_loop().call_later(
        _ms(request, "later", 10) / 1000,
        callback,
        _ms(request),
        context=contextvars.Context(),
    )
    return HttpResponse("scheduled")


async def stream(_request):
    async def chunks():
        for _ in range(3):
            spend("stream")
            await asyncio.sleep(0.001)
            yield b"x" * 100

    return StreamingHttpResponse(chunks())


async def endless(_request):
    async def chunks():
        for _ in range(400):
            await asyncio.sleep(0.005)
            yield b"x" * 50_000

    return StreamingHttpResponse(chunks())


async def patient(_request):
    """Wait for longer than the client does."""
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        spend_now("cancelled", "spin", 2)
        raise
    return HttpResponse("late")


async def cancels(_request):
    """Cancel an own task and go on."""
    task = asyncio.create_task(asyncio.sleep(5))
    await asyncio.sleep(0.002)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        spend_now("cancels", "spin", 2)
    return HttpResponse("cancelled")


async def forever(_request):
    """Allow as much time as there is."""
    await asyncio.wait_for(asyncio.sleep(0.001), float("inf"))
    await asyncio.wait_for(asyncio.sleep(0.001), 1e12)
    return HttpResponse("done")


async def upload(request):
    start = now()
    size = len(request.body)
    note("body", start)
    return JsonResponse({"size": size})


async def unhandled(_request):
    spend("unhandled")
    raise ZeroDivisionError
