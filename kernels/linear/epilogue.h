// What every linear layer does with a product, whatever computed it.
#pragma once

namespace linear {

// Epilogue is act(y + bias)·mul·gate + residual; null pointers leave a step out. Row i takes row
// index[i] of gate, or row 0 without an index. dst may be mul or residual.
struct Epilogue {
  float* dst;            // [n, out], ld apart; float32 or an operand
  i64 ld;
  const float* bias;     // [out]
  i64 act;
  const float* mul;      // [n, out]
  i64 ld_mul;
  const float* gate;     // [groups, out]
  i64 ld_gate;
  const int* index;      // [n]
  const float* residual; // [n, out]
  i64 ld_residual;
  i64 form;              // of dst, see ../include/operand.h; with float32 alone dst may be another's

  DEVICE_MEMBER void operator()(i64 row, i64 col, float y) const {
    if (bias) y += bias[col];
    y = activation(y, act);
    if (mul) y *= mul[row * ld_mul + col];
    if (gate) y *= gate[(index ? index[row] : 0) * ld_gate + col];
    if (residual) y += residual[row * ld_residual + col];
    operand::Matrix{(char*)dst, ld, form}.put(row, col, y);
  }
};

}  // namespace linear
