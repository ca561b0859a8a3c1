"""One job at a time, each in a process of its own: cancelling is ending the process, and its memory goes with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voxprior.web.limits import Limits, Refused
from voxprior.web.store import CANCELLED, DONE, ENDED, FAILED, RUNNING, WAITING, Job, Store
from voxprior.web.uploads import Uploads
from voxprior.web.worker import INPUT, OUTPUT, REQUEST, VIEW, before_name

WORKER = (sys.executable, "-m", "voxprior.web.worker")
GRACE = 5.0
"""Seconds between asking a process to end and ending it."""
SWEEP = 60.0
"""Seconds between looking for what is to be removed."""


class Runner:
    """Queue, processes and files of the jobs in the folder ``root``; used from one event loop."""

    def __init__(self, root: Path, store: Store, uploads: Uploads, limits: Limits) -> None:
        self.root, self.store, self.uploads, self.limits = root, store, uploads, limits
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.progress: tuple[int, int] | None = None
        self.version = 0
        self._changed = asyncio.Event()
        self._work = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._running: str | None = None
        self._cancelled = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Take up the queue where it was left."""
        self.store.recover()
        known = {job.id for job in self.store.all()}
        for folder in self.root.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._sweep())]
        self._work.set()

    async def stop(self) -> None:
        """End the running process, whose job goes back to the queue."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end()
        if self._running is not None:
            self.store.finish(self._running, WAITING)

    def submit(self, job: str, options: Mapping[str, Any], upload: str | None, numbers: Sequence[int] = ()) -> Job:
        """Queue a job on scans of the settled ``upload``; raises :class:`Refused` when the queue is full."""
        if self.store.waiting() >= self.limits.waiting:
            raise Refused(429, f"{self.limits.waiting} jobs wait already; try again later")
        id = secrets.token_hex(8)
        folder = self.root / id
        folder.mkdir(mode=0o700)
        try:
            scans = [] if upload is None else self.uploads.link(upload, numbers, folder / INPUT)
            request = {"job": job, "options": dict(options), "scans": scans, "numbers": list(numbers)}
            (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
            added = self.store.add(id, request)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._work.set()
        self.tell()
        return added

    async def cancel(self, id: str) -> None:
        """End the job ``id`` if it waits or runs; what it wrote is removed."""
        job = self.find(id)
        if job.state == WAITING:
            self.store.finish(id, CANCELLED)
            self._clear(id)
        elif job.state == RUNNING and id == self._running:
            self._cancelled = True
            await self._end()
        self.tell()

    async def remove(self, id: str) -> None:
        """Forget the job ``id`` and its files, ending it first if it runs."""
        await self.cancel(id)
        while self._running == id:
            await self.changed(1.0)
        self.store.remove(id)
        shutil.rmtree(self.root / id, ignore_errors=True)
        self.tell()

    def find(self, id: str) -> Job:
        """The job ``id``; raises :class:`Refused` when there is none."""
        job = self.store.find(id)
        if job is None:
            raise Refused(404, "there is no such job (any more)")
        return job

    def file(self, id: str, name: str) -> Path:
        """An output of the job ``id``; raises :class:`Refused` for a name that is none of them."""
        job = self.find(id)
        if job.state != DONE or name not in job.outcome.get("files", ()):
            raise Refused(404, "there is no such file")
        return self.root / id / OUTPUT / name

    def before(self, id: str, number: int) -> Path:
        """A measured volume of the job ``id``, from 1, to look at."""
        job = self.find(id)
        if number > int(job.outcome.get("before", 0)):
            raise Refused(404, "there is no such measured image of this job")
        return self.root / id / VIEW / before_name(number)

    def tell(self) -> None:
        """Wake those who watch."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, seconds: float) -> None:
        """Wait for the next change, but no longer than ``seconds``."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while (job := self.store.start_next()) is not None:
                self._running, self._cancelled = job.id, False
                self.tell()
                try:
                    state, message, outcome = await self._one(job)
                except (OSError, ValueError) as error:  # no process to be had, or half a line of one that was ended
                    await self._end()
                    why = f"the process could not be started, or was cut short ({type(error).__name__}); try again"
                    state, message, outcome = (CANCELLED, "", None) if self._cancelled else (FAILED, why, None)
                self.store.finish(job.id, state, message, outcome)
                if state != DONE:
                    self._clear(job.id)
                self._running = self.progress = self._process = None
                self.tell()

    async def _one(self, job: Job) -> tuple[str, str, dict[str, Any] | None]:
        folder = self.root / job.id
        self._clear(job.id)
        with (folder / "log.txt").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *WORKER,
                str(folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                limit=1 << 20,
            )
        if self._cancelled:  # before there was a process to end
            await self._end()
        last: dict[str, Any] = {}
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            last = json.loads(line)
            if "done" in last:
                self.progress = last["done"], last["total"]
                self.tell()
        code = await self._process.wait()
        if self._cancelled:
            return CANCELLED, "", None
        if "outcome" in last and code == 0:
            return DONE, "", last["outcome"]
        return FAILED, str(last.get("error") or _death(code)), None

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        for sign in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, sign)
                else:
                    process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE)
                return

    def _clear(self, id: str) -> None:
        """Remove what a run wrote; its input stays, for another try."""
        for name in (OUTPUT, VIEW):
            shutil.rmtree(self.root / id / name, ignore_errors=True)

    async def _sweep(self) -> None:
        while True:
            self.sweep()
            await asyncio.sleep(SWEEP)

    def sweep(self) -> None:
        """Remove jobs that ended longer ago than they are kept, and uploads that nobody needs."""
        self.uploads.sweep()
        oldest = time.time() - self.limits.keep_hours * 3600
        for job in self.store.all():
            if job.state in ENDED and job.changed < oldest:
                self.store.remove(job.id)
                shutil.rmtree(self.root / job.id, ignore_errors=True)
                self.tell()


def _death(code: int) -> str:
    """Why a process that said nothing has ended."""
    if code == -getattr(signal, "SIGKILL", 9):
        return "the system ended the process: memory ran out, it seems; give a coarser spacing, or crop the scan"
    return f"the process failed without a word ({code}); the command with -v shows where"
