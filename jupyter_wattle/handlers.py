"""Wattle's routes under Jupyter's authentication.

Laws: one base class authenticates every route and every method, before anything is looked at; none can be forgotten,
because `mount` takes no other handler but the page, which is behind the login. Errors have the table's form on every
path, a refused one too. No CORS header
is ever sent, and no token is taken from a URL: URLs end up in logs.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from typing import TYPE_CHECKING, Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async
from tornado.web import HTTPError, RequestHandler

from jupyter_wattle.access import RUNS, KernelUser, resources
from jupyter_wattle.page import Page
from wattle import __version__
from wattle.core.errors import Forbidden, InvalidRequest
from wattle.core.operations import READ
from wattle.web.documents import METRICS, DocumentHandler, Documents, document_routes
from wattle.web.forward import forward
from wattle.web.handlers import OperationHandler, UnknownRoute, routes

if TYPE_CHECKING:
    from jupyter_wattle.access import KernelToken
    from wattle.resident import Resident, Way
    from wattle.web.audit import Audit
    from wattle.web.streams import Streams

LOGIN_SECONDS = 60.0
"""How often the reader of a stream that is handed on is asked again who it is."""
Rule = tuple[str, type[RequestHandler], dict[str, Any]]


class Guarded(APIHandler):
    """Authenticates; see the laws above."""

    resident: Resident
    token_of_kernels: KernelToken

    async def prepare(self) -> None:  # type: ignore[override]
        """Who is it? Raises `Forbidden`."""
        if "token" in self.request.query_arguments:
            raise InvalidRequest("A token in a URL ends up in logs.", "send it as a header: Authorization: token …")
        user = self.token_of_kernels.user(self.request.headers.get("Authorization", ""))
        if user is not None:
            # Jupyter's and the hub's identity providers take a user that is there already for the answer.
            self._jupyter_current_user = self._jupyterhub_user = user
            self._token_authenticated = True
        try:
            await super().prepare()
        except HTTPError as error:
            raise _refused(error) from None
        if self.current_user is None:
            raise Forbidden("Nobody is logged in.", "send Jupyter's token: Authorization: token …")

    def set_cors_headers(self) -> None:
        """None: other sites have no business here."""

    def finish(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Jupyter would call every answer JSON."""
        return super().finish(*args, set_content_type=self._headers["Content-Type"], **kwargs)

    def caller(self) -> str:
        """Who asks, for the audit file."""
        user = self.current_user
        if isinstance(user, KernelUser):
            return "kernel"
        # A token's user is made up anew for each request: its name says nothing.
        return "token" if self.token_authenticated else f"user:{user.username}"

    async def demand(self, action: str, *wanted: str) -> None:
        """Raise `Forbidden` unless the site's authorizer lets the caller do this to all of these resources."""
        if isinstance(self.current_user, KernelUser):
            return
        for resource in wanted:
            if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, resource)):
                raise Forbidden(f"You have no right to {action} {resource}.", "ask who runs this Jupyter server")

    async def hand_on(self, way: Way) -> None:
        """Answer with what the coordinator says that was joined."""
        target = self.request.uri.removeprefix(self.base_url.rstrip("/"))
        await forward(self, way.connect, target, self.caller(), way.entry)


class GuardedOperation(OperationHandler, Guarded):
    """The operations of one path, here or at the coordinator that was joined."""

    def update_api_activity(self) -> None:
        """To look is no activity: a page left open must not keep a server from being culled."""
        if self.request.method not in {"GET", "HEAD"}:
            super().update_api_activity()

    async def answer(self, **path: str) -> None:
        """Allowed, then answered or forwarded."""
        operation = self.operation
        if operation is not None:
            await self.demand(operation.access, *resources(operation))
            if operation.access != READ:
                self.resident.wake()
            if operation.name == "hand_over":
                raise Forbidden("A server's coordinator is not ended over HTTP.", "run: wattle down, or end the server")
        joined = self.resident.joined
        if operation is None or joined is None:
            await super().answer(**path)
            return
        self.check_body()
        self.recorded = True  # the coordinator that is asked writes the audit file
        watch = asyncio.create_task(self._watch_login())
        try:
            await self.hand_on(joined)
        finally:
            watch.cancel()

    async def recheck(self) -> None:
        """Raise `Forbidden` when the reader of a stream has been logged out."""
        if isinstance(self.current_user, KernelUser):
            return
        for kept in ("_jupyter_current_user", "_jupyterhub_user"):
            vars(self).pop(kept, None)
        user = await ensure_async(self.identity_provider.get_user(self))
        self.current_user = self._jupyter_current_user = user
        if user is None:
            raise Forbidden("You have been logged out.", "log in again")

    async def _watch_login(self) -> None:
        """Cut a stream that is handed on when its reader has been logged out."""
        while True:
            await asyncio.sleep(LOGIN_SECONDS)
            try:
                await self.recheck()
            except Exception:  # noqa: BLE001  who cannot be asked for is not let on
                self._drop()
                return

    get = post = put = delete = patch = head = options = answer  # type: ignore[assignment]


class GuardedDocument(DocumentHandler, Guarded):
    """The OpenAPI document, its page, and the metrics."""

    def update_api_activity(self) -> None:
        """To look is no activity."""

    async def answer(self, **path: str) -> None:
        """The document of this server; the metrics of whoever coordinates."""
        if self.operation is METRICS:
            await self.demand(READ, RUNS)
            joined = self.resident.joined
            if joined is not None:
                await self.hand_on(joined)
                return
        await super().answer(**path)

    get = post = put = delete = patch = head = options = answer  # type: ignore[assignment]


class GuardedUnknown(UnknownRoute, Guarded):  # type: ignore[misc]
    """Any other path below ours."""


def mount(resident: Resident, token: KernelToken, audit: Audit, streams: Streams, base_url: str) -> list[Rule]:
    """Every route of Wattle, for Jupyter's web application below `base_url`."""
    both = {"resident": resident, "token_of_kernels": token}
    operation: type[GuardedOperation] = type("GuardedOperation", (GuardedOperation,), both)
    unknown: type[GuardedUnknown] = type("GuardedUnknown", (GuardedUnknown,), both)
    rest = r"/api/(?:workflows|workers|wattle)(?:/.*)?"
    document = type("GuardedDocument", (GuardedDocument,), both)
    table = routes(resident.service, operation, audit=audit, door="jupyter", streams=streams)
    beside = document_routes(resident.service, Documents(base_url.rstrip("/"), __version__), document,
                             measures=resident.measures, counted=[streams])  # fmt: skip
    return [*table, *beside, ("/wattle/?", Page, {}), (rest, unknown, {})]


def _refused(error: HTTPError) -> Exception:
    """Jupyter's refusals as ours; Jupyter says 404 to another site, so as not to tell it anything."""
    if error.status_code == 404:
        return Forbidden("This request comes from another site.", "open Wattle's own page")
    if error.status_code == 403:
        why = error.log_message or "Nobody is logged in, or this is not for you."
        return Forbidden(str(why).rstrip(".") + ".", "send Jupyter's token: Authorization: token …, or log in")
    return error
