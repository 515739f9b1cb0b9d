# SPDX-License-Identifier: Apache-2.0
"""A repository on the Hugging Face hub that we write to."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import httpx
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from dit_policy_ros.core.errors import HubError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Repository:
    """One repository, existing or not.

    Args:
        name: ``owner/name``.
        kind: what it holds.
        is_public: whether everybody may see it if it is created now. An existing one stays as it is.

    Raises:
        HubError: the name has another form.
    """

    def __init__(self, name: str, kind: Literal["model", "dataset"], is_public: bool = False) -> None:
        if _NAME.fullmatch(name) is None:
            raise HubError(f"the hub's repository {name!r}: expected USER/NAME or ORGANISATION/NAME")
        self.name, self.kind, self._is_public = name, kind, is_public
        self._api = HfApi()

    @property
    def url(self) -> str:
        """Its page."""
        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"{constants.ENDPOINT}/{prefix}{self.name}"

    def check_login(self) -> None:
        """Find out whether we are logged in. Changes nothing.

        Raises:
            HubError: there is no token, the hub does not accept it, or the hub cannot be reached.
        """
        if constants.is_offline_mode():
            raise HubError(f"{self.url}: HF_HUB_OFFLINE is set, so nothing can be put there. Unset it")
        if get_token() is None:
            raise HubError(
                f"{self.url}: nobody is logged in to the hub. Run `hf auth login`, or set HF_TOKEN to a "
                f"token that may write"
            )
        with self._hub_errors():
            self._api.whoami()

    def create(self) -> None:
        """Create it, if it is not there, and make sure that we may write to it.

        Raises:
            HubError: we may not, or the hub cannot be reached.
        """
        with self._hub_errors():
            self._api.create_repo(self.name, repo_type=self.kind, private=not self._is_public, exist_ok=True)
            self._api.auth_check(self.name, repo_type=self.kind, write=True)

    def push(self, files: Mapping[str, Path | bytes], message: str, owned: Sequence[str] = ()) -> str:
        """Put files there, in one commit; returns the repository's page.

        Args:
            files: by path in the repository, where each comes from, or its content.
            message: of the commit.
            owned: folders, each with a slash at its end. Files there that are not among ``files`` are
                deleted: they are of an earlier state.

        Raises:
            HubError: the hub refuses them, or cannot be reached. The repository is then as before.
        """
        with self._hub_errors():
            there = self._api.list_repo_files(self.name, repo_type=self.kind)
            old = [path for path in there if path not in files and path.startswith(tuple(owned))]
            add = [
                CommitOperationAdd(path, str(source) if isinstance(source, Path) else source)
                for path, source in files.items()
            ]
            delete = [CommitOperationDelete(path) for path in old]
            self._api.create_commit(self.name, [*add, *delete], repo_type=self.kind, commit_message=message)
        return self.url

    def tag(self, tag: str) -> None:
        """Let a tag name the newest commit. Raises HubError."""
        with self._hub_errors():
            with suppress(RevisionNotFoundError):  # there was no such tag yet
                self._api.delete_tag(self.name, tag=tag, repo_type=self.kind)
            self._api.create_tag(self.name, tag=tag, repo_type=self.kind)

    @contextmanager
    def _hub_errors(self) -> Iterator[None]:
        """Inside, what goes wrong between us and the hub becomes a HubError with a remedy."""
        try:
            yield
        except HfHubHTTPError as error:
            code = error.response.status_code
            if code == 401:
                remedy = "The token is not valid any more: run `hf auth login`, or set HF_TOKEN"
            elif code in (403, 404):
                owner = self.name.partition("/")[0]
                remedy = f"The token may not write there: log in as {owner} with a token that may write"
            else:
                remedy = "Try again later"
            raise HubError(f"{self.url}: {_first_line(error)}. {remedy}") from error
        except (OSError, ValueError, httpx.HTTPError) as error:
            raise HubError(
                f"{self.url}: {_first_line(error)}. Is there a connection to {constants.ENDPOINT}?"
            ) from error


def card_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table for a card."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(cell: object) -> str:
    return " ".join(str(cell).replace("|", "\\|").split())


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
