"""What `writes.yaml` may say: strict structs, as the words stand in the YAML. `write_files` makes them ready."""

from typing import Annotated, Literal

import msgspec

from adapter.mapping.schema import Name, Place

State = Literal["none", "active", "pending"]
Verb = Literal["POST", "PUT", "PATCH", "DELETE"]
Guard = Literal["own_account", "last_admin", "sso_only_admins", "stays", "in_place_first", "empty_group"]
Path = Annotated[str, msgspec.Meta(pattern=r"^/[^\s?#]*$")]
Accept = Annotated[str, msgspec.Meta(pattern=r"^[ -~]+$")]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pass


class ReadDecl(_Strict, frozen=True, kw_only=True):
    """Something that is read for writes only: no part of the directory."""

    get: Path
    single: bool = False
    order: Name | None = None
    accept: Accept | None = None
    scopes: list[str] = []


class ConditionDecl(_Strict, frozen=True, kw_only=True):
    """One of: `place` says so of the place's record, `any` of a record that is read, or it is `not` another's."""

    place: str | None = None
    read: Name | None = None
    any: str | None = None
    not_: Name | None = msgspec.field(name="not", default=None)


class PeopleDecl(_Strict, frozen=True, kw_only=True):
    """How units show who has what in places of a kind. The expressions see a record as a resource's sources do."""

    unit: Annotated[list[Name], msgspec.Meta(min_length=1)]
    where: str | None = None
    items: Name | None = None
    as_: Name | None = msgspec.field(name="as", default=None)
    item_where: str | None = None
    pending: bool = False
    only_known: bool = False
    """Seen when the whole directory is looked through, never read again for one place."""
    place: str
    place_name: str
    within: str | None = None
    person: str
    email: str
    name: str | None = None
    roles: str
    member: str | None = None
    by_sso: str | None = None


class RoleDecl(_Strict, frozen=True, kw_only=True):
    when: list[Name] = []
    assignable: bool = True
    way_out: str | None = None
    admin: bool = False
    stands_for_all: bool = False
    reads_secrets: bool = False


class AlreadyDecl(_Strict, frozen=True, kw_only=True):
    status: Annotated[int, msgspec.Meta(ge=400, le=499)]
    message: str | None = None


class CallDecl(_Strict, frozen=True, kw_only=True):
    says: str
    from_: Annotated[list[State], msgspec.Meta(min_length=1)] = msgspec.field(name="from")
    to: State
    when: list[Name] = []
    method: Verb
    path: Path
    accept: Accept | None = None
    body: dict[Name, str] = {}
    scopes: list[str] = []
    already: list[AlreadyDecl] = []
    guards: list[Guard] = []


class PlaceDecl(_Strict, frozen=True, kw_only=True):
    """A kind of place in which people hold roles. Roles' ids begin with the kind's name."""

    named: Place
    as_: Name = msgspec.field(name="as")
    read: Name
    within: dict[Name, str] = {}
    covers: list[Name] = []
    holds: Literal["one", "set"]
    default: str | None = None
    roles: Annotated[dict[Name, RoleDecl], msgspec.Meta(min_length=1)]
    keepers: list[Name] = []
    powerless: str | None = None
    returns_by: str | None = None
    listed_by: list[Name] = []
    people: Annotated[list[PeopleDecl], msgspec.Meta(min_length=1)]
    calls: Annotated[dict[Name, CallDecl], msgspec.Meta(min_length=1)]


class GroupCallDecl(_Strict, frozen=True, kw_only=True):
    says: str
    method: Verb
    path: Path
    when: list[Name] = []
    way_out: str = ""
    body: dict[Name, str] = {}
    scopes: list[str] = []
    already: list[AlreadyDecl] = []
    guards: list[Guard] = []


class GroupsDecl(_Strict, frozen=True, kw_only=True):
    """Groups that can be made, renamed and deleted, and the unit of an organization that lists them."""

    group: Name
    organization: Name
    listed_by: Name
    emptied_of: list[Name] = []
    calls: dict[Literal["create", "update", "delete"], GroupCallDecl]


class WritesFile(_Strict, frozen=True, kw_only=True):
    reads: dict[Name, ReadDecl] = {}
    conditions: dict[Name, ConditionDecl] = {}
    places: Annotated[dict[Name, PlaceDecl], msgspec.Meta(min_length=1)]
    groups: GroupsDecl | None = None
