"""The one client of the provider, and the provider's temperament. Knows no unified word."""
