package compute

import "testing"

func TestMeterCountsThePeak(t *testing.T) {
	m := &Meter{}
	var held []Memory
	for _, n := range []int{64, 65, 0, 1000} { // 256, 512, 0 and 4096 bytes
		h, err := m.Alloc(n)
		if err != nil || h.Len() != n {
			t.Fatalf("%d elements: %v, %v", n, h, err)
		}
		held = append(held, h)
	}
	m.Free(held[3])
	if _, err := m.Alloc(1); err != nil {
		t.Fatal(err)
	}
	if got := m.Peak(); got != 256+512+4096 {
		t.Errorf("the peak is %d bytes", got)
	}
	if _, err := m.Alloc(-1); err == nil {
		t.Error("-1 elements were allocated")
	}
}
