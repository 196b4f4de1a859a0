"""llama.cpp through its low-level C interface. The only room that imports llama_cpp, inside the worker
process."""
