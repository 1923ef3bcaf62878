package tensor

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// TestF16AgreesWithItsDefinition checks every one of the 65,536 halves.
func TestF16AgreesWithItsDefinition(t *testing.T) {
	for h := range 1 << 16 {
		sign, exp, frac := 1-2*(h>>15), h>>10&31, h&1023
		want := float64(sign) * math.Ldexp(float64(frac), -24)
		switch {
		case exp == 31 && frac == 0:
			want = math.Inf(sign)
		case exp == 31:
			want = math.NaN()
		case exp > 0:
			want = float64(sign) * math.Ldexp(float64(1024+frac), exp-25)
		}
		got := float64(F16ToFloat32(uint16(h)))
		if math.Signbit(got) != (sign < 0) || got != want && !(got != got && want != want) {
			t.Fatalf("F16ToFloat32(%#x) = %v, want %v", h, got, want)
		}
	}
}

func TestFloat32Converts(t *testing.T) {
	f64 := binary.LittleEndian.AppendUint64(nil, math.Float64bits(-2.5))
	for _, c := range []struct {
		in   Tensor
		want float32
	}{
		{Tensor{F32, Shape{1}, Bytes([]float32{1.5})}, 1.5},
		{Tensor{F64, Shape{1}, f64}, -2.5},
		{Tensor{F16, Shape{1, 1}, []byte{0x00, 0x3c}}, 1},
		{Tensor{BF16, nil, []byte{0x80, 0x3f}}, 1},
	} {
		got, err := c.in.Float32()
		if err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%v: got %v, %v, want %v", c.in.DType, got, err, c.want)
		}
	}
}

func TestFloat32Refuses(t *testing.T) {
	for _, c := range []struct {
		in   Tensor
		want string
	}{
		{Tensor{I64, Shape{1}, make([]byte, 8)}, "I64"},
		{Tensor{F32, Shape{2}, make([]byte, 4)}, "4 bytes"},
	} {
		if _, err := c.in.Float32(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v does not say %q", c.in.DType, err, c.want)
		}
	}
}

func TestDTypesHaveNamesAndSizes(t *testing.T) {
	for d := F64; int(d) < len(dtypes); d++ {
		if back, err := ParseDType(d.String()); err != nil || back != d || d.Size() == 0 {
			t.Errorf("%v: %v, %v, %d bytes", d, back, err, d.Size())
		}
	}
	for _, name := range []string{"", "invalid", "F4"} {
		if _, err := ParseDType(name); err == nil {
			t.Errorf("ParseDType(%q) gave no error", name)
		}
	}
	if d := DType(200); d.Size() != 0 || d.String() != "invalid" {
		t.Errorf("an unknown type has %d bytes and the name %q", d.Size(), d)
	}
}

func TestViewsShareMemory(t *testing.T) {
	v := []float32{1, 2, 3}
	Floats(Bytes(v)[4:8])[0] = 7
	if v[1] != 7 || Bytes(nil) != nil || Floats(nil) != nil {
		t.Errorf("views do not share memory: %v", v)
	}
	for _, b := range [][]byte{make([]byte, 7), Bytes(v)[1:5]} {
		if !panics(func() { Floats(b) }) {
			t.Errorf("Floats of %d bytes did not panic", len(b))
		}
	}
	if !panics(func() { FromFloat32(v, 2, 2) }) {
		t.Error("a shape that does not fit did not panic")
	}
}

func panics(f func()) (p bool) {
	defer func() { p = recover() != nil }()
	f()
	return false
}
