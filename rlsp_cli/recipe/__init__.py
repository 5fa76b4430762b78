"""Recipes: from YAML with positions to a frozen, validated and complete `Recipe`."""
