"""ffkernels as the backend of nets that others wrote; one module for each library."""
