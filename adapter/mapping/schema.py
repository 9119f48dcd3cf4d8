"""What a mapping file may say: strict structs, as the words stand in the YAML. `model` makes them ready for work."""

from typing import Annotated, Any, Literal

import msgspec

FieldType = Literal["string", "boolean", "integer", "datetime", "array", "object"]
PartType = Literal["string", "boolean", "integer", "datetime", "reference"]
"""What stands inside an object; a `reference` is an object of `id` and `name`, like every place that a record names."""
MergeWord = Literal["first_known", "union", "rank", "any", "earliest", "latest"]
FilterType = Literal["string", "text", "boolean", "datetime"]
Method = Literal["list", "get", "create", "update", "delete"]
Place = Literal["group", "workspace", "organization"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pass


class ExemptDecl(_Strict, frozen=True, kw_only=True):
    unit: Name
    ids: str


class ProofDecl(_Strict, frozen=True, kw_only=True):
    """How a unit that may be wrong is compared, once a day, with a list that is known to be right."""

    of: str
    by: Name
    as_: Name = msgspec.field(name="as")
    claimed: str
    actual: str
    exempt: ExemptDecl | None = None


class DailyDecl(_Strict, frozen=True, kw_only=True):
    """A list that tells one day at a time, which a query parameter names: it has no whole, and is walked by day."""

    query: Name
    back: Annotated[int, msgspec.Meta(ge=1, le=366)]
    since: str | None = None


class RemovalDecl(_Strict, frozen=True, kw_only=True):
    """A way of taking somebody out of a place, after which lists may go on showing them for so many seconds."""

    paths: Annotated[list[Annotated[str, msgspec.Meta(pattern=r"^/[^\s?#]*$")]], msgspec.Meta(min_length=1)]
    seconds: Annotated[int, msgspec.Meta(ge=1, le=600)]
    goes_by: str
    place: str | None = None


class WithoutDecl(_Strict, frozen=True, kw_only=True):
    """How a unit lists those whom a removal takes out."""

    place: str
    names: str
    items: Name | None = None


class UnitDecl(_Strict, frozen=True, kw_only=True):
    get: Annotated[str, msgspec.Meta(pattern=r"^/[^\s?#]*$")]
    single: bool = False
    each: Annotated[dict[Name, Annotated[list[Name], msgspec.Meta(min_length=1)]], msgspec.Meta(max_length=1)] = {}
    where: str | None = None
    unless_among: Annotated[dict[Name, str], msgspec.Meta(max_length=1)] = {}
    when_any: Annotated[dict[Name, str], msgspec.Meta(max_length=1)] = {}
    instead_of: Name | None = None
    order: Name | None = None
    accept: Annotated[str, msgspec.Meta(pattern=r"^[ -~]+$")] | None = None
    scopes: list[str] = []
    places: dict[Place, str] = {}
    lists: Place | None = None
    proof: ProofDecl | None = None
    daily: DailyDecl | None = None
    without: dict[Name, WithoutDecl] = {}


class UnitsFile(_Strict, frozen=True, kw_only=True):
    removals: dict[Name, RemovalDecl] = {}
    units: dict[Name, UnitDecl]


class FieldDecl(_Strict, frozen=True, kw_only=True):
    type: FieldType
    always: bool = False
    description: str = ""
    of: dict[Name, PartType] = {}
    """What an object holds, or each object of an array; for whoever reads, nothing is done by it."""
    merge: MergeWord = "first_known"
    by: Name | None = None
    rank: list[Any] = []


class SourceDecl(_Strict, frozen=True, kw_only=True):
    unit: Annotated[list[Name], msgspec.Meta(min_length=1)]
    where: str | None = None
    items: Name | None = None
    as_: Name | None = msgspec.field(name="as", default=None)
    item_where: str | None = None
    whole: bool = False
    fields: dict[Name, str]


class FromDecl(_Strict, frozen=True, kw_only=True):
    """Records made of the list `each` in every source record of another resource."""

    resource: Name
    each: Name
    as_: Name = msgspec.field(name="as")
    fields: dict[Name, str]


class InheritRule(_Strict, frozen=True, kw_only=True):
    role_id: str
    gives: Annotated[list[str], msgspec.Meta(min_length=1)]
    where: str | None = None


class InheritedDecl(_Strict, frozen=True, kw_only=True):
    unit: Name
    parent: Name
    item: Name
    rules: Annotated[list[InheritRule], msgspec.Meta(min_length=1)]
    fields: dict[Name, str]


class AnonymousDecl(_Strict, frozen=True, kw_only=True):
    by: str
    prefix: Annotated[str, msgspec.Meta(pattern=r"^[a-z]+:$")]


class FilterDecl(_Strict, frozen=True, kw_only=True):
    path: str
    type: FilterType = "string"
    alias: Name | None = None
    values: list[str] = []
    place: Place | None = None


class ResourceFile(_Strict, frozen=True, kw_only=True):
    resource: Name
    description: str = ""
    key: Name
    methods: Annotated[list[Method], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["list", "get"]
    )
    id_pattern: str | None = None
    id_form: str | None = None
    get_place: Place | None = None
    time: Name | None = None
    anonymous: AnonymousDecl | None = None
    fields: Annotated[dict[Name, FieldDecl], msgspec.Meta(min_length=1)]
    records: list[dict[str, Any]] = []
    sources: list[SourceDecl] = []
    from_: FromDecl | None = msgspec.field(name="from", default=None)
    inherited: InheritedDecl | None = None
    filters: dict[Name, FilterDecl] = {}
    search: list[str] = []
    sort: list[Name] = []
