"""The waist: units, snapshot and answers; every door reads the directory through here."""
