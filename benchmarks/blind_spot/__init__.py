"""What cProfile sees of a request, beside what this project sees of the same one."""
