"""What the machine is doing: GPUs over NVML, RAM and CPU over psutil, speeds from the engine; one thread samples all."""
