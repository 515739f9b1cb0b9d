# SPDX-License-Identifier: Apache-2.0
"""Lets nobody through without a token: a layer around the whole web application."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

COOKIE = "dit_policy_panel"
OPERATE, WATCH = "operate", "watch"
_AGE = 7 * 24 * 3600  # [s] of the cookie
_REFUSED = b"Open the address that dit_policy panel has printed: it contains the token.\n"

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Visitor:
    """browser: its identity, the same in all its tabs. may_operate: False for one that may only watch."""

    browser: str
    may_operate: bool


class Keys:
    """Tokens of the two addresses, and the cookies that stand for them in a browser.

    Args:
        operate: token of who may be in charge; "" makes one.
    """

    def __init__(self, operate: str = "") -> None:
        self.operate = operate or secrets.token_urlsafe(16)
        self.watch = self._sign(WATCH)[:22]

    def cookie(self, token: str) -> str:
        """A new cookie for a token; "" if it is not one of ours."""
        for role, valid in ((OPERATE, self.operate), (WATCH, self.watch)):
            if hmac.compare_digest(token.encode(), valid.encode()):
                name = f"{role}.{secrets.token_hex(8)}"
                return f"{name}.{self._sign(name)}"
        return ""

    def visitor(self, cookie: str) -> Visitor | None:
        """Who shows this cookie; None if it is not ours."""
        name, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(name).encode()):
            return None
        role, _, browser = name.partition(".")
        return Visitor(browser, role == OPERATE)

    def _sign(self, text: str) -> str:
        return hmac.new(self.operate.encode(), text.encode(), "sha256").hexdigest()


class Gate:
    """ASGI layer. A token in the address becomes a cookie; everything without one of them is refused.

    A page of another origin can use neither (SameSite, and the Origin of what changes something is checked).

    Args:
        app: the application behind the gate.
        keys: valid tokens.
    """

    def __init__(self, app: App, keys: Keys) -> None:
        self.app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        cookie = self._entry(scope)
        if cookie:
            where = f"{COOKIE}={cookie}; Path=/; Max-Age={_AGE}; HttpOnly; SameSite=Strict"
            headers_out = [
                (b"location", b"/"),
                (b"set-cookie", where.encode()),
                (b"cache-control", b"no-store"),
            ]
            await _answer(send, 303, headers_out, b"")
            return
        visitor = self._keys.visitor(_cookie(headers.get("cookie", "")))
        if visitor is None or not _is_same_origin(scope, headers):
            await _refuse(scope, send)
            return
        scope["visitor"] = visitor
        await self.app(scope, receive, send)

    def _entry(self, scope: Scope) -> str:
        """The cookie for the token in the address of a page; "" without a valid one."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            return ""
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return self._keys.cookie(tokens[0])


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _is_same_origin(scope: Scope, headers: dict[str, str]) -> bool:
    changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
    origin = headers.get("origin", "")
    return not changes or not origin or urlsplit(origin).netloc == headers.get("host", "")


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        await _answer(send, 403, [(b"content-type", b"text/plain")], _REFUSED)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
