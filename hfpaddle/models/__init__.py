"""Model families, one file each, named after ``model_type``. Adding a file adds the family."""
