"""Tables, migrations, stores by name, and the vault, on SQLite and PostgreSQL alike."""
