"""Persons (AVA): what each one does. The task; its head on the last layer's grid; scores of boxes; how they count."""
