"""A Django site whose routes have known costs, so that every layer can be seen and checked."""
