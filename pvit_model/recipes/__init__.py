"""What shall be trained: recipes, configuration, plan."""
