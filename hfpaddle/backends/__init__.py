"""One device a file: cpu, gpu, xpu, null. The only place where a device is named."""
