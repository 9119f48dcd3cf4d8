"""The OpenAPI document: one module a door, each reading the declarations that the door serves from."""
