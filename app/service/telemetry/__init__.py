"""What the machine does over time: NVIDIA GPUs, RAM, CPU, Pult's own processes and the engine's speeds."""
