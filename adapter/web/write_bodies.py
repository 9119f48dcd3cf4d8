"""What the writes of the unified directory take, typed: decoded by `writes`, judged by `asks`, shown by `openapi`.

A place and a person may be spelled in several ways, as the clients of the compatible API do: `group`, `group_id`,
an id, or an object with one.
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

MAX_ID_CHARS = 128
MAX_EMAIL_CHARS = 254
MAX_NAME_CHARS = 256
MAX_ENTRIES = 1000

# Ids end in upstream paths: what would mean something there is in none.
ID = re.compile(r"(?:invitation:)?[A-Za-z0-9._~@+-]+")
# The form alone: whether an address exists is the provider's to say.
EMAIL = re.compile(r"[^@\s/?#%]+@[^@\s/?#%]+")

Id = Annotated[str, Meta(extra_json_schema={"pattern": f"^{ID.pattern}$", "minLength": 1, "maxLength": MAX_ID_CHARS})]
RoleId = Annotated[str, Meta(description="As `roles` lists it", extra_json_schema={"examples": ["team:member"]})]
Email = Annotated[
    str,
    Meta(
        extra_json_schema={
            "pattern": f"^{EMAIL.pattern}$",
            "maxLength": MAX_EMAIL_CHARS,
            "examples": ["ada@example.com"],
        }
    ),
]
Remote = Annotated[dict[str, Any], Meta(description="Goes to the provider with the call's body")]


def is_id(text: str) -> bool:
    """Whether this could be a provider's id."""
    return len(text) <= MAX_ID_CHARS and ID.fullmatch(text) is not None and not set(text) <= {"."}


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An unknown word is refused: a mistyped one must not be taken for a default."""


class Named(_Body, kw_only=True):
    """A reference as records show it."""

    id: Id
    name: str | None = None


class NamedRole(_Body, kw_only=True):
    """A role as records show it."""

    id: RoleId
    name: str | None = None


class EmailEntry(_Body, kw_only=True):
    """An address as users show it."""

    email: Email
    type: str | None = None
    is_primary: bool | None = None


Reference = Id | Named | UnsetType | None


class Placed(_Body, kw_only=True):
    """One place, in one of its spellings."""

    group: Reference = UNSET
    group_id: Id | UnsetType | None = UNSET
    workspace: Reference = UNSET
    workspace_id: Id | UnsetType | None = UNSET
    organization: Reference = UNSET
    organization_id: Id | UnsetType | None = UNSET


class RoleEntry(Placed, kw_only=True):
    """A role in a place, as users show it."""

    id: RoleId
    name: str | None = None


class _Write(_Body, kw_only=True):
    remote_data: Remote | UnsetType = UNSET


class UserCreate(_Write, kw_only=True):
    """Add or invite somebody: by `email` or `emails`, into `roles` or `groups`."""

    email: Email | UnsetType | None = UNSET
    emails: (
        Annotated[
            Email | list[Email | EmailEntry],
            Meta(description="One address; of several, that with `is_primary`"),
        ]
        | UnsetType
        | None
    ) = UNSET
    roles: Annotated[list[RoleEntry], Meta(extra_json_schema={"maxItems": MAX_ENTRIES})] = []
    groups: Annotated[
        list[Id | Named],
        Meta(description="Teams to be a plain member of", extra_json_schema={"maxItems": MAX_ENTRIES}),
    ] = []
    first_name: str | UnsetType | None = UNSET
    last_name: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    username: str | UnsetType | None = UNSET


WITHOUT_EFFECT = ("first_name", "last_name", "name", "username")
"""Fields of a new user that the compatible API's clients send, and that the provider leaves to the person."""


class UserUpdate(_Write, kw_only=True):
    """The roles that somebody has in the places that are named; other places are left alone."""

    id: Id | UnsetType = UNSET
    roles: Annotated[list[RoleEntry], Meta(extra_json_schema={"minItems": 1, "maxItems": MAX_ENTRIES})]


Proof = Annotated[
    Literal["places", "full"],
    Meta(description="How it is proved: by reading back the places it was about, or all that could hold the person"),
]


class UserDelete(Placed, kw_only=True):
    """Take away everything, or with a place what there is in that place."""

    id: Id | UnsetType = UNSET
    proof: Proof | UnsetType = UNSET
    remote_data: Remote | UnsetType = UNSET


class _Person(_Write, kw_only=True):
    user_id: Id | UnsetType | None = UNSET
    user: Reference = UNSET
    email: Email | UnsetType | None = UNSET


class Offboard(_Person, kw_only=True):
    """Take everything away from somebody, and prove it."""

    dry_run: bool = False
    proof: Proof = "places"


class Grant(Placed, kw_only=True):
    """One role of one person in one place."""

    user_id: Id | UnsetType | None = UNSET
    user: Reference = UNSET
    email: Email | UnsetType | None = UNSET
    remote_data: Remote | UnsetType = UNSET
    role_id: RoleId | UnsetType | None = UNSET
    role: RoleId | NamedRole | UnsetType | None = UNSET


class Regrant(_Write, kw_only=True):
    """Another role in the same place."""

    id: str | UnsetType = UNSET
    role_id: RoleId | UnsetType | None = UNSET
    role: RoleId | NamedRole | UnsetType | None = UNSET


class Gone(_Write, kw_only=True):
    """What to delete, where the path doesn't say it."""

    id: str | UnsetType = UNSET


class Membership(_Person, kw_only=True):
    """Somebody in a team."""

    group_id: Id | UnsetType | None = UNSET
    group: Reference = UNSET
    role_id: RoleId | UnsetType | None = UNSET
    role: RoleId | NamedRole | UnsetType | None = UNSET


GroupName = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_NAME_CHARS})]


class GroupCreate(_Write, kw_only=True):
    """A new team of an enterprise account."""

    name: GroupName
    organization_id: Id | UnsetType | None = UNSET
    organization: Reference = UNSET


class GroupUpdate(_Write, kw_only=True):
    """Another name for a team."""

    id: Id | UnsetType = UNSET
    name: GroupName
