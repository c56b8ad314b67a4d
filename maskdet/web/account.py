"""Who the visitor is: the role from a password or from a login provider (OIDC)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

import streamlit as st
from streamlit.errors import StreamlitAuthError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from maskdet.extras import describe_missing_library
from maskdet.web.server import login, streamlit_patches

USERS_VARIABLE: Final = "MASKDET_LOGIN_USERS"
"""E-mail addresses, separated by spaces, of who may enter after a login at the provider
in Streamlit's secrets; `*@example.org` allows all of a domain, `*` all of the provider.
If it is set, everybody must log in."""

ADMINS_VARIABLE: Final = "MASKDET_LOGIN_ADMINS"
"""Likewise, the administrators, who may enter too."""


def require_login() -> None:
    """Stop the page unless the visitor may enter; call it in `app.py` before content.

    A password is asked for before the page is delivered. This finds visitors who came
    before the server could ask: the first ones of `streamlit run app.py`.
    """
    if not login.is_admitted(_get_headers()):
        st.warning("Reload this page to log in.", icon=":material/lock:")
        st.stop()
    if not _needs_provider(os.environ) or get_role() is not None:
        return
    st.title("maskdet")
    email = _get_email()
    if email:
        st.error(f"{email} has no access to this server.", icon=":material/lock:")
        st.button("Log in as somebody else", on_click=st.logout)
    elif st.button("Log in", type="primary", icon=":material/login:"):
        _open_provider()
    st.stop()


def get_role() -> login.Role | None:
    """Return the role of the visitor; `None` for one who has not logged in."""
    role = login.get_cookie_role(_get_headers())
    if role == "admin":
        return role
    email = _get_email() if _needs_provider(os.environ) else ""
    if email and _is_listed(email, os.environ.get(ADMINS_VARIABLE, "")):
        return "admin"
    if email and _is_listed(email, os.environ.get(USERS_VARIABLE, "")):
        return "visitor"
    return role


def render_account() -> None:
    """Render the links to log in and out, in the sidebar; nothing without a login."""
    role = get_role()
    base_path = streamlit_patches.get_base_path()
    if role is not None:
        title = "an administrator" if role == "admin" else "a visitor"
        st.caption(f"You are logged in as {title}.")
        if _get_email() and _needs_provider(os.environ):
            st.button("Log out", on_click=st.logout, key="account.logout")
        else:
            st.html(f'<a href="{base_path}{login.LOGOUT_PATH}">Log out</a>')
    if role != "admin" and os.environ.get(login.ADMIN_PASSWORD_VARIABLE):
        path = f"{base_path}{login.LOGIN_PATH}"
        st.html(f'<a href="{path}">Log in as administrator</a>')


def _open_provider() -> None:
    try:
        problem = describe_missing_library("a login at a provider", "authlib")
        if not problem:
            st.login()
    except StreamlitAuthError as error:
        problem = str(error)
    if problem:
        st.error(f"The login is not set up: {problem}", icon=":material/error:")


def _get_headers() -> list[tuple[str, str]]:
    """Return the headers of the visitor's connection; none if there is no server."""
    context = get_script_run_ctx()
    peer = None if context is None else streamlit_patches.get_peer(context.session_id)
    return [] if peer is None else [*peer[1]]


def _needs_provider(environment: Mapping[str, str]) -> bool:
    names = (USERS_VARIABLE, ADMINS_VARIABLE)
    return any(environment.get(name, "").strip() for name in names)


def _get_email() -> str:
    """Return the address of the visitor that the login provider names, or nothing.

    One that the provider itself calls unverified could be that of somebody else.
    """
    user = st.user.to_dict()
    if not user.get("is_logged_in") or user.get("email_verified") is False:
        return ""
    email = user.get("email")
    return email.lower() if isinstance(email, str) else ""


def _is_listed(email: str, text: str) -> bool:
    patterns = text.replace(",", " ").lower().split()
    return any(fnmatchcase(email, pattern) for pattern in patterns)
