"""Jobs join operators, methods and files: read, restore, write."""
