"""Pages: templates in, HTML with its headers out.

Owns: the Jinja2 environment, the headers every page carries, refusing secrets, errors as pages, notices and cookies.
Does not own: what a page shows (one module per page), who asks (`callers`), JSON problems (`problems`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tokenkeep.core.errors import InUse, TokenkeepError, Unauthenticated
from tokenkeep.core.model import UserSession
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.secret import Secret
from tokenkeep.web import words
from tokenkeep.web.problems import CODES, RequestProblem
from tokenkeep.web.services import config_of
from tokenkeep.web.static_files import static_url

Handler = Callable[[Request], Awaitable[Response]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "form-action {forms}; base-uri 'none'; frame-ancestors 'none'"
)
NOTICE = "tokenkeep-notice"
RESULT = "tokenkeep-result"


class SecretOnPage(Exception):
    """A template was about to see a Secret. A mistake of ours, so it ends the request."""


def may_admin(caller: Caller) -> bool:
    """Whether pages should offer what only administrators may do; the use case checks again."""
    return Scope.ADMIN in caller.scopes


# --- rendering -----------------------------------------------------------------------------------------


def render(
    request: Request, template: str, context: Mapping[str, Any], *, status: int = 200, forms: str = "'self'"
) -> HTMLResponse:
    """A page. `forms` is the `form-action` of its policy.

    Raises SecretOnPage when `context` holds a Secret, however deep.
    """
    person: UserSession | None = context.get("person")
    refuse_secrets(context)
    notice = words.NOTICES.get(read_cookie(request, NOTICE))
    html = (
        environment(config_of(request).templates)
        .get_template(template)
        .render({"person": person, "notice": notice, "path": request.url.path, "config": config_of(request), **context})
    )
    response = HTMLResponse(html, status_code=status, headers=page_headers(forms))
    if notice:
        drop_cookie(request, response, NOTICE)
    return response


def page_headers(forms: str = "'self'") -> dict[str, str]:
    """What every page says to the browser. Nothing inline, nothing foreign, nothing kept."""
    return {
        "Content-Security-Policy": POLICY.format(forms=forms),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        # Pages open the connect window and must stay its opener while it is at the provider.
        "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    }


def refuse_secrets(value: Any) -> None:
    """Walk containers and dataclasses. Raises SecretOnPage at the first Secret."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Secret):
            raise SecretOnPage("a template context holds a Secret")
        if isinstance(one, (str, bytes, int, float, type(None), datetime)) or id(one) in seen:
            continue
        seen.add(id(one))
        waiting.extend(_parts(one))


def _parts(value: Any) -> list[Any]:
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, AbstractSet)):
        return list(value)
    return []


def _finalize(value: Any) -> Any:
    # The second wall: an object that the walk cannot see into may still hand a Secret to a template.
    if isinstance(value, Secret):
        raise SecretOnPage("a template printed a Secret")
    return value


@functools.lru_cache(maxsize=8)
def environment(templates: Path) -> jinja2.Environment:
    """The templates of a folder, with our filters. Names that do not exist raise instead of printing nothing."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        when=words.when, rfc3339=words.rfc3339, plain=words.plain_code, browser=words.browser, ms=words.milliseconds
    )
    made.globals.update(static=functools.partial(static_url, templates / "static"), words=words)
    return made


# --- errors and redirects ------------------------------------------------------------------------------


def error_page(request: Request, status: int, title: str, detail: str, *, fix: str = "") -> HTMLResponse:
    """A page that says what went wrong and what to do, in our words only."""
    return render(
        request, "error.html", {"status": status, "title": title, "detail": detail, "fix": fix}, status=status
    )


def page_errors(handler: Handler) -> Handler:
    """A handler whose failures become pages; who is not signed in is asked to sign in first."""

    @functools.wraps(handler)
    async def guarded(request: Request) -> Response:
        if (elsewhere := on_published_host(request)) is not None:
            return elsewhere
        try:
            return await handler(request)
        except Unauthenticated:
            return to_login(request)
        except TokenkeepError as error:
            return error_answer(request, error)
        except RequestProblem as refused:
            told = CODES[refused.code]
            return error_page(
                request, told.status, told.title, told.meaning, fix=words.ERRORS.get(refused.code, ("", ""))[1]
            )

    return guarded


def on_published_host(request: Request) -> Response | None:
    """In demo `localhost` and `127.0.0.1` both answer, but cookies and the callback know one of them only.

    None: the browser is where it should be.
    """
    config = config_of(request)
    asked = urlsplit(f"//{request.headers.get('host', '')}")
    published = urlsplit(config.public_url)
    other_name = config.demo and asked.hostname != published.hostname and asked.netloc.endswith(f":{published.port}")
    if not other_name or request.method not in {"GET", "HEAD"}:
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(config.public_url + quote(request.url.path, safe="/") + query, status_code=307)


def error_answer(request: Request, error: TokenkeepError) -> HTMLResponse:
    """The page for one error of ours."""
    title, fix = words.ERRORS.get(error.code, ("That did not work", ""))
    if isinstance(error, InUse):
        fix = "Remove it from what uses it first, or delete it anyway from its delete page."
    response = error_page(
        request, CODES.get(error.code, CODES["internal"]).status, title, error.message, fix=fix or error.fix
    )
    if "retry_after" in error.extra:
        response.headers["Retry-After"] = str(error.extra["retry_after"])
    return response


def to_login(request: Request) -> RedirectResponse:
    """Sign in, then come back. A form that was sent is not sent again, so only readable pages are come back to."""
    if request.method not in {"GET", "HEAD"}:
        return RedirectResponse("/login", status_code=303)
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='/')}", status_code=303)


def see_other(request: Request, path: str, *, notice: str = "") -> RedirectResponse:
    """303 to a path of ours; `notice` is a key of `words.NOTICES` that the next page shows once."""
    response = RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})
    if notice:
        keep_cookie(request, response, NOTICE, notice, max_age=60)
    return response


# --- cookies -------------------------------------------------------------------------------------------


def cookie_name(request: Request, base: str) -> str:
    """`__Host-` pins a cookie to this very host, but browsers take it over https only."""
    return f"__Host-{base}" if config_of(request).https else base


def read_cookie(request: Request, base: str) -> str:
    """Empty: there is none."""
    return request.cookies.get(cookie_name(request, base), "")


def keep_cookie(request: Request, response: Response, base: str, value: str, *, max_age: int) -> None:
    """Set a cookie that no script reads and no other site sends along with a form."""
    response.set_cookie(
        cookie_name(request, base),
        value,
        max_age=max_age,
        path="/",
        secure=config_of(request).https,
        httponly=True,
        samesite="lax",
    )


def drop_cookie(request: Request, response: Response, base: str) -> None:
    """Delete a cookie set by `keep_cookie`."""
    response.delete_cookie(
        cookie_name(request, base), path="/", secure=config_of(request).https, httponly=True, samesite="lax"
    )
