import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.accounts.checks import checked_key, checked_tenant
from adapter.errors import InvalidBody
from adapter.models import Secret


@given(st.text(max_size=300))
def test_a_key_that_passes_fits_into_a_header(text: str) -> None:
    try:
        key = checked_key(Secret(text)).reveal()
    except InvalidBody:
        return

    assert key == text.strip()
    assert all(33 <= ord(character) <= 126 for character in key)


@given(st.text(max_size=300))
def test_a_tenant_that_passes_fits_into_every_database(text: str) -> None:
    try:
        tenant = checked_tenant(text)
    except InvalidBody:
        return

    assert "\0" not in tenant
    assert 1 <= len(tenant) <= 256
    tenant.encode()


@pytest.mark.parametrize("tenant", ["acme", "Ünïcode GmbH", "a" * 256, "x+y@example.com"])
def test_names_of_tenants_are_free(tenant: str) -> None:
    assert checked_tenant(tenant) == tenant
