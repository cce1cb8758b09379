"""The files of the libraries that train dictionaries, one module a library."""
