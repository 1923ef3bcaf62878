// Package bench times the engine's parts next to what a user would otherwise run: diffusers on
// PyTorch, which answers in a process of its own (tools/bench_torch.py).
//
// Machines are noisy, so the two sides take turns, item by item and round by round. A time is the
// least over the rounds; the figure to quote is the ratio, which holds when the machine's speed
// drifts.
//
// What is timed has the shapes of Wan's models, since a kernel's speed depends on them: a product
// of 32,760 rows and 1,536 columns says little of one of 8,192 each. Items are made of the engine's
// own parts, called as it calls them. Weights and inputs are random: no item needs a model's files,
// and a time does not depend on values, as long as they are finite.
//
// On a GPU (type GPU) the clock is the GPU's own, and the peer is PyTorch with cuBLAS and its
// attention (tools/bench_torch_gpu.py). The share of the peak is worth quoting there as well. On
// the emulated GPU items run in tiny sizes, to show that the code works; its times mean nothing.
package bench
