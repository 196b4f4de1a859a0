"""Model backends behind one protocol: llama.cpp in a worker process, remote servers, and a scripted fake.

Only the package `llama` in this room imports llama_cpp, and only the worker process imports that package.
"""
