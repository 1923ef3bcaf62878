// All kernels as one module: what `make cuda` compiles to a fatbin and `make cuda-test` for the host.
#include "attention/attention_v1.cu"
#include "attention/attention_v3.cu"
#include "attention/merge.cu"
#include "conv/conv_v1.cu"
#include "elementwise/elementwise.cu"
#include "linear/linear_v1.cu"
#include "linear/linear_v3.cu"
#include "norm/norm.cu"
