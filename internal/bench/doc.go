// Package bench times the engine's parts side by side with what a user would pick instead:
// diffusers on PyTorch, which answers in a process of its own (tools/bench_torch.py).
//
// Machines are noisy, so the two sides take turns, item by item and round by round; a time is the
// least over the rounds, and what is to be believed is the ratio.
//
// On a GPU (GPU) the clock is the GPU's own and the peer PyTorch with cuBLAS and its attention
// (tools/bench_torch_gpu.py); what is to be believed there is also the share of the peak.
package bench
