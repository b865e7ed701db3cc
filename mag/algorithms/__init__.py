"""The methods: a contract, a registry, and a package for each family of methods."""
