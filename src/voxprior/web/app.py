"""The server: pages, uploads, jobs and results, behind the gate."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

import voxprior
from voxprior.errors import InputError
from voxprior.web.form import SEVERAL, TAKES, TOGETHER, forms, parse, require_number
from voxprior.web.gate import App, Gate
from voxprior.web.limits import Limits, Refused
from voxprior.web.runner import Runner
from voxprior.web.store import Job, Store
from voxprior.web.uploads import Uploads

STATIC = Path(__file__).parent / "static"
PAGES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "scans.js": ("scans.js", "text/javascript; charset=utf-8"),
    "form.js": ("form.js", "text/javascript; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "niivue.js": ("niivue.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
"""What a browser may load, by path."""
DEMO = Path(voxprior.__file__).parent / "demo" / "head.nii.gz"
ALIVE = 15.0
"""Seconds between two events when nothing changes."""
BETWEEN = 0.25
"""Seconds between two events at least."""
Id = Annotated[str, PathParameter(pattern="^[0-9a-f]{16}$")]
Name = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$")]
Number = Annotated[int, PathParameter(ge=1, le=TOGETHER)]
Group = Annotated[int, Query(ge=1, le=10_000)]


@dataclass(frozen=True)
class Settings:
    """Of a server: its folder, its secret, the port that its links name, and its limits."""

    folder: Path
    token: str
    port: int
    limits: Limits = field(default_factory=Limits)

    @property
    def hosts(self) -> frozenset[str]:
        """Names by which a browser may ask."""
        return frozenset(f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]"))


class JobRequest(BaseModel):
    """A job that a page or a program asks for."""

    model_config = ConfigDict(extra="forbid")

    job: str
    options: dict[str, bool | int | float | str | list[int] | None] = {}
    upload: str | None = None
    scans: list[int] = Field(default=[], max_length=TOGETHER)
    """Numbers of those in the upload, the first of which gives the grid; needed where there are several."""


def create_app(settings: Settings) -> App:
    """The application; raises :class:`InputError` when another server uses the folder."""
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store(settings.folder / "queue.sqlite")
    uploads = Uploads(settings.folder / "uploads", settings.limits)
    runner = Runner(settings.folder / "jobs", store, uploads, settings.limits)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        runner.start()
        try:
            yield
        finally:
            await runner.stop()
            store.close()

    app = FastAPI(lifespan=running, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.runner = runner
    _add_refusals(app)
    _add_pages(app, settings)
    _add_uploads(app, uploads)
    _add_jobs(app, runner)
    _add_results(app, runner)
    return Gate(app, settings.token, settings.hosts, f"voxprior-{settings.port}")


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        # What may still be coming of a large request is not read: the connection ends.
        return JSONResponse({"error": error.reason}, error.status, headers={"connection": "close"})

    @app.exception_handler(InputError)
    async def mendable(_: Request, error: InputError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"error": "the request is not understood"}, 422)


def _add_pages(app: FastAPI, settings: Settings) -> None:
    @app.get("/api/form")
    async def form() -> dict[str, Any]:
        limits = settings.limits
        return {
            "version": voxprior.__version__,
            "jobs": forms(),
            "upload": limits.upload,
            "keep_hours": limits.keep_hours,
        }

    @app.get("/")
    @app.get("/{name}")
    async def page(name: str = "") -> Response:
        if name not in PAGES:
            raise Refused(404, "there is no such page")
        file, kind = PAGES[name]
        return FileResponse(STATIC / file, media_type=kind, headers={"cache-control": "no-cache"})


def _add_uploads(app: FastAPI, uploads: Uploads) -> None:
    @app.post("/api/uploads", status_code=201)
    async def open_upload() -> dict[str, str]:
        return {"id": uploads.open()}

    @app.put("/api/uploads/{id}/files")
    async def take(id: Id, request: Request, scan: Group = 1) -> dict[str, int]:
        claimed = request.headers.get("content-length")
        return {"bytes": await uploads.take(id, scan, int(claimed) if claimed else None, request.stream())}

    @app.post("/api/uploads/{id}/finish")
    async def finish(id: Id) -> dict[str, Any]:
        scans = await asyncio.to_thread(uploads.settle, id)
        told = [{"kind": scan.kind, "files": len(scan.paths), **scan.about} for scan in scans]
        return {"kind": scans[0].kind, "files": sum(one["files"] for one in told), "scans": told}

    @app.post("/api/uploads/{id}/demo")
    async def demo(id: Id) -> dict[str, int]:
        async def head() -> AsyncIterator[bytes]:
            yield DEMO.read_bytes()

        return {"bytes": await uploads.take(id, 1, None, head())}

    @app.delete("/api/uploads/{id}", status_code=204)
    async def remove(id: Id) -> None:
        uploads.remove(id)


def _add_jobs(app: FastAPI, runner: Runner) -> None:
    @app.post("/api/jobs", status_code=201)
    async def submit(asked: JobRequest) -> dict[str, Any]:
        _, extra = parse(asked.job, asked.options)
        require_number(extra, _count(asked, runner.uploads))
        return _shown(runner.submit(asked.job, asked.options, asked.upload, asked.scans), runner)

    @app.get("/api/jobs")
    async def jobs() -> list[dict[str, Any]]:
        return _all(runner)

    @app.get("/api/jobs/{id}")
    async def job(id: Id) -> dict[str, Any]:
        return _shown(runner.find(id), runner)

    @app.post("/api/jobs/{id}/cancel")
    async def cancel(id: Id) -> dict[str, Any]:
        await runner.cancel(id)
        return _shown(runner.find(id), runner)

    @app.delete("/api/jobs/{id}", status_code=204)
    async def remove(id: Id) -> None:
        await runner.remove(id)

    @app.get("/api/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(_events(runner), media_type="text/event-stream")


def _add_results(app: FastAPI, runner: Runner) -> None:
    @app.get("/api/jobs/{id}/files/{name}")
    async def file(id: Id, name: Name) -> Response:
        headers = {"content-security-policy": "sandbox; default-src 'none'"}  # for those who open it all the same
        kind = "image/png" if name.endswith(".png") else "application/octet-stream"
        return FileResponse(runner.file(id, name), media_type=kind, filename=name, headers=headers)

    @app.get("/api/jobs/{id}/input.nii.gz")
    async def before(id: Id) -> Response:
        return FileResponse(runner.before(id, 1), media_type="application/octet-stream", filename="input.nii.gz")

    @app.get("/api/jobs/{id}/inputs/{number}")
    async def input(id: Id, number: Number) -> Response:
        name = f"input-{number}.nii.gz"
        return FileResponse(runner.before(id, number), media_type="application/octet-stream", filename=name)

    @app.get("/api/jobs/{id}/all.zip")
    async def everything(id: Id) -> Response:
        names = runner.find(id).outcome.get("files", ())
        paths = [runner.file(id, name) for name in names]
        return StreamingResponse(
            _zipped(paths),
            media_type="application/zip",
            headers={"content-disposition": 'attachment; filename="voxprior.zip"'},
        )


def _count(asked: JobRequest, uploads: Uploads) -> int:
    """How many scans are asked for; raises :class:`InputError` where the job does not start from them."""
    takes = TAKES[asked.job]
    if asked.upload is None:
        if takes or asked.scans:
            raise InputError(f"job {asked.job} needs a scan; drop one first")
        return 0
    if not takes:
        raise InputError(f"job {asked.job} starts from no scan; leave it out")
    chosen = uploads.choose(asked.upload, asked.scans)
    if not all(scan.kind in takes for _, scan in chosen):
        raise InputError(f"job {asked.job} does not start from this kind of file; it takes {', '.join(takes)}")
    if len(chosen) > 1 and asked.job != SEVERAL:
        raise InputError(f"job {asked.job} takes one scan; choose one, or the job {SEVERAL} for several together")
    return len(chosen)


def _all(runner: Runner) -> list[dict[str, Any]]:
    return [_shown(job, runner) for job in runner.store.all()]


def _shown(job: Job, runner: Runner) -> dict[str, Any]:
    """A job as the page sees it; what was asked, never a name that came from outside."""
    request = job.request
    return {
        "id": job.id,
        "number": job.number,
        "state": job.state,
        "job": request["job"],
        "options": request["options"],
        "scans": request["numbers"],
        "message": job.message,
        "progress": runner.progress if job.state == "running" else None,
        "outcome": job.outcome,
        "created": job.created,
    }


async def _events(runner: Runner) -> AsyncIterator[str]:
    """The list of jobs, whenever it has changed."""
    seen = -1
    while True:
        if runner.version != seen:
            seen = runner.version
            yield f"data: {json.dumps(_all(runner))}\n\n"
        else:
            yield ": alive\n\n"
        await asyncio.sleep(BETWEEN)
        if runner.version == seen:
            await runner.changed(ALIVE)


async def _zipped(paths: list[Path]) -> AsyncIterator[bytes]:
    """A zip of ``paths``, stored as they are, piece by piece."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            with path.open("rb") as stream, archive.open(path.name, "w", force_zip64=True) as member:
                while chunk := await asyncio.to_thread(stream.read, 1 << 20):
                    member.write(chunk)
                    yield sink.take()
    yield sink.take()


class _Sink:
    """A file that only grows, emptied as it does."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._told = 0

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def tell(self) -> int:
        return self._told + len(self._held)

    def flush(self) -> None:
        return None

    def close(self) -> None:
        return None

    def take(self) -> bytes:
        data, self._held = bytes(self._held), bytearray()
        self._told += len(data)
        return data
