"""A write's body, path and scope as one Ask; InvalidBody or InvalidParameter where they contradict or say too little.

Nothing is looked up here: whether a person, place or role is there is the planner's to say.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from adapter.accounts.checks import refuse
from adapter.directory.writing.model import Ask, Change, GroupAsk, OperationKind, PersonRef, PlaceRef
from adapter.mapping.model import Model
from adapter.web import write_bodies as bodies

T = TypeVar("T")

PLACES = ("group", "workspace", "organization")
"""The words for a place in the contract. Where no role says which kind of place is meant, they stand for the kind."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Beside the body: the id in the path, and the one place that the query confines a removal to."""

    id: str | None = None
    scope: PlaceRef | None = None


class Asks:
    """Makes the Ask of every kind of write. `words` say which roles there are, and where each can be held."""

    def __init__(self, model: Model) -> None:
        roles = model.resources["roles"].records if "roles" in model.resources else ()
        self._roles: Mapping[str, Mapping[str, Any]] = {role["id"]: role for role in roles}
        grants = model.resources.get("role_assignments")
        self._grant_id = grants.id_pattern if grants else None
        self._grant_form = grants.id_form if grants else None

    # --- users

    def create_user(self, body: bodies.UserCreate, _: Subject) -> Ask:
        person = PersonRef(email=_address(body))
        given = self._changes("give", body.roles)
        named = {change.place.id for change in given}
        plain = [
            _bounded(f"groups[{at}]", getattr(one, "id", one)) for at, one in enumerate(_few("groups", body.groups))
        ]
        given += [
            Change(verb="give", place=PlaceRef(kind="group", id=place))
            for place in dict.fromkeys(plain)
            if place not in named
        ]
        if not given:
            raise refuse("roles", "names no place", "a role in a place, or a team in `groups`")
        return _ask("users.create", body, person=person, changes=given)

    def update_user(self, body: bodies.UserUpdate, subject: Subject) -> Ask:
        if not body.roles:
            raise refuse("roles", "is empty", "a role in a place; DELETE takes roles away")
        person = PersonRef(user_id=_subject(body.id, subject))
        return _ask("users.update", body, person=person, changes=self._changes("set", body.roles))

    def delete_user(self, body: bodies.UserDelete, subject: Subject) -> Ask:
        person = PersonRef(user_id=_subject(body.id, subject))
        scope = _scope(body) or subject.scope
        if subject.scope is not None and scope is not subject.scope:
            raise refuse(f"{subject.scope.kind}_id", "is named in the query too", "one place")
        if scope is None:
            proof = "places" if body.proof is UNSET else body.proof
            return _ask("users.delete", body, person=person, everywhere=True, proof=proof)
        if body.proof is not UNSET:
            raise refuse("proof", "is named with a place", "none: it is for removals from everywhere")
        return _ask("users.delete", body, person=person, changes=[Change(verb="take", place=scope)])

    def offboard(self, body: bodies.Offboard, _: Subject) -> Ask:
        return _ask("users.offboard", body, person=_person(body), everywhere=True, proof=body.proof)

    # --- grants

    def create_grant(self, body: bodies.Grant, _: Subject) -> Ask:
        role = _role(body)
        place, name = self._held(role, body, "")
        change = Change(verb="give", place=place, roles=(name,))
        return _ask("role_assignments.create", body, person=_person(body), changes=[change])

    def update_grant(self, body: bodies.Regrant, subject: Subject) -> Ask:
        place, user, old = self._grant(_subject(body.id, subject, bounded=False))
        role = _role(body)
        kind, new = self._named(role, "role_id")
        if kind != place.kind:
            raise refuse("role_id", "is of another kind of place", f"a role of the kind `{place.kind}`")
        changes = [Change(verb="take", place=place, roles=(old,)), Change(verb="give", place=place, roles=(new,))]
        return _ask("role_assignments.update", body, person=PersonRef(user_id=user), changes=changes)

    def delete_grant(self, body: bodies.Gone, subject: Subject) -> Ask:
        place, user, role = self._grant(_subject(body.id, subject, bounded=False))
        change = Change(verb="take", place=place, roles=(role,))
        return _ask("role_assignments.delete", body, person=PersonRef(user_id=user), changes=[change])

    # --- groups

    def create_group(self, body: bodies.GroupCreate, _: Subject) -> Ask:
        organization = _reference(body, "organization")
        if organization is None:
            raise refuse("organization_id", "is missing", "the organization that gets the group")
        group = GroupAsk(name=_group_name(body.name), organization_id=organization)
        return _ask("groups.create", body, group=group)

    def update_group(self, body: bodies.GroupUpdate, subject: Subject) -> Ask:
        group = GroupAsk(id=_subject(body.id, subject), name=_group_name(body.name))
        return _ask("groups.update", body, group=group)

    def delete_group(self, body: bodies.Gone, subject: Subject) -> Ask:
        return _ask("groups.delete", body, group=GroupAsk(id=_subject(body.id, subject)))

    def add_to_group(self, body: bodies.Membership, _: Subject) -> Ask:
        return _ask("groups.add-user", body, person=_person(body), changes=[self._membership("give", body)])

    def remove_from_group(self, body: bodies.Membership, _: Subject) -> Ask:
        return _ask("groups.remove-user", body, person=_person(body), changes=[self._membership("take", body)])

    # --- roles in places

    def _membership(self, verb: Any, body: bodies.Membership) -> Change:
        group = _reference(body, "group")
        if group is None:
            raise refuse("group_id", "is missing", "the id of a group")
        role = _spelled(body, "role")
        if role is None:
            return Change(verb=verb, place=PlaceRef(kind="group", id=group))
        kind, name = self._applied(role, "group", "role_id")
        return Change(verb=verb, place=PlaceRef(kind=kind, id=group), roles=(name,))

    def _changes(self, verb: Any, roles: Sequence[bodies.RoleEntry]) -> list[Change]:
        """One change a place, with all the roles that are named there."""
        found: dict[PlaceRef, list[str]] = {}
        for at, role in enumerate(_few("roles", roles)):
            place, name = self._held(role.id, role, f"roles[{at}]")
            found.setdefault(place, []).append(name)
        return [Change(verb=verb, place=place, roles=tuple(dict.fromkeys(names))) for place, names in found.items()]

    def _held(self, role: str, placed: Any, at: str) -> tuple[PlaceRef, str]:
        """The place that a body names, by the role's kind, and the role's name there."""
        word, place = _place(placed, at)
        kind, name = self._applied(role, word, f"{at}.id" if at else "role_id")
        return PlaceRef(kind=kind, id=place), name

    def _applied(self, role: str, word: str, where: str) -> tuple[str, str]:
        kind, name = self._named(role, where)
        applicable = self._roles[role]["applicable_in"]
        if word not in applicable:
            raise refuse(where, f"can't be held in `{word}`", f"a role of it; this one is held in {_or(applicable)}")
        return kind, name

    def _named(self, role: str, where: str) -> tuple[str, str]:
        """A role's kind of place and its name there."""
        if role not in self._roles:
            raise refuse(where, "is no role", f"one of {', '.join(self._roles)}")
        return self._roles[role]["type"], self._roles[role]["name"]

    def _grant(self, key: str) -> tuple[PlaceRef, str, str]:
        """Place, person and role name of an assignment's id."""
        match = self._grant_id.fullmatch(key) if self._grant_id else None
        if match is None or f"{match[1]}:{match[4]}" not in self._roles:
            raise refuse("id", "is no id of a role assignment", f"an id like {self._grant_form}")
        place, user = _bounded("id", match[2]), _bounded("id", match[3])
        return PlaceRef(kind=match[1], id=place), user, match[4]


# --- persons


def _person(body: Any) -> PersonRef:
    user = _reference(body, "user")
    email = _checked_email("email", body.email) if body.email not in (UNSET, None) else None
    if user is None and email is None:
        raise refuse("user_id", "is missing", "`user_id` or `email`")
    return PersonRef(user_id=user, email=email)


def _address(body: bodies.UserCreate) -> str:
    """The one address that somebody is invited by."""
    several = body.emails if isinstance(body.emails, list) else [body.emails]
    given = [("email", body.email), *((f"emails[{at}]", one) for at, one in enumerate(several))]
    found = [(where, one) for where, one in given if one not in (UNSET, None)]
    primary = [(where, one) for where, one in found if isinstance(one, bodies.EmailEntry) and one.is_primary]
    addresses = [_checked_email(where, getattr(one, "email", one)) for where, one in primary or found]
    if not addresses:
        raise refuse("emails", "is missing", "an e-mail address")
    if len({address.lower() for address in addresses}) > 1:
        raise refuse("emails", "names several addresses", "one address, or one of them with `is_primary`")
    return addresses[0]


def _checked_email(where: str, text: Any) -> str:
    if len(text) > bodies.MAX_EMAIL_CHARS or not bodies.EMAIL.fullmatch(text) or not text.isprintable():
        raise refuse(where, "is no e-mail address", f"`name@domain` of at most {bodies.MAX_EMAIL_CHARS} characters")
    return str(text)


# --- places and ids


def _place(placed: Any, at: str) -> tuple[str, str]:
    """The word and the id of the one place that is named."""
    dotted = f"{at}." if at else ""
    found = {word: place for word in PLACES if (place := _reference(placed, word, dotted)) is not None}
    if len(found) != 1:
        what = f"names {len(found)} places" if found else "names no place"
        raise refuse(at or "group_id", what, f"exactly one of {', '.join(PLACES)}")
    return next(iter(found.items()))


def _scope(body: bodies.UserDelete) -> PlaceRef | None:
    """The place that a removal's body confines it to; a word that is there and empty is none, and refused."""
    for word in PLACES:
        for name in (word, f"{word}_id"):
            if getattr(body, name) is None:
                raise refuse(name, "is empty", "an id, or not to be there at all")
    named = any(getattr(body, name) is not UNSET for word in PLACES for name in (word, f"{word}_id"))
    if not named:
        return None
    word, place = _place(body, "")
    return PlaceRef(kind=word, id=place)


def _reference(body: Any, word: str, at: str = "") -> str | None:
    """The id of what `group`, `group_id` and so on name."""
    found = _spelled(body, word, at)
    return None if found is None else _bounded(f"{at}{word}_id", found)


def _spelled(body: Any, word: str, at: str = "") -> str | None:
    """The id under one of the two names that a word has; refused where they contradict each other."""
    given = [one for name in (word, f"{word}_id") if (one := getattr(body, name)) not in (UNSET, None)]
    ids = {getattr(one, "id", one) for one in given}
    if len(ids) > 1:
        raise refuse(f"{at}{word}_id", "is given twice, and differently", "one id")
    return next(iter(ids), None)


def _role(body: Any) -> str:
    role = _spelled(body, "role")
    if role is None:
        raise refuse("role_id", "is missing", "the id of a role")
    return role


def _subject(given: Any, subject: Subject, *, bounded: bool = True) -> str:
    """What the path names, or else the body."""
    if subject.id is not None and given not in (UNSET, subject.id):
        raise refuse("id", "is another one than the path's", "the same, or none")
    found = subject.id if subject.id is not None else given
    if found is UNSET:
        raise refuse("id", "is missing", "an id, here or in the path")
    return _bounded("id", found) if bounded else str(found)


def _bounded(where: str, text: Any) -> str:
    if not bodies.is_id(text):
        raise refuse(where, "is no id" if text else "is empty", "an id as the directory shows it")
    return str(text)


def _few(where: str, entries: Sequence[T]) -> Sequence[T]:
    if len(entries) > bodies.MAX_ENTRIES:
        raise refuse(where, f"has {len(entries)} entries", f"at most {bodies.MAX_ENTRIES}")
    return entries


def _group_name(text: str) -> str:
    if not 1 <= len(text) <= bodies.MAX_NAME_CHARS or not text.isprintable():
        raise refuse("name", "can't be used", f"1 to {bodies.MAX_NAME_CHARS} printable characters")
    return text


def _or(words: Iterable[str]) -> str:
    return " or ".join(f"`{word}`" for word in words)


def _ask(kind: OperationKind, body: Any, *, changes: Iterable[Change] = (), **fields: Any) -> Ask:
    remote = body.remote_data if body.remote_data is not UNSET else {}
    return Ask(kind=kind, changes=tuple(changes), remote_data=remote, **fields)
