//go:build cuda

package cuda

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/longtake/longtake/internal/golden"
)

// TestSASSOrder gives kernels/sass-order.awk listings of a loop as the compiler might make it: with
// the exponentials where they belong, and in every way that it has to refuse.
func TestSASSOrder(t *testing.T) {
	awk, err := exec.LookPath("awk")
	if err != nil {
		t.Skip(err)
	}
	const one, all = "WARPGROUP.DEPBAR.LE gsb0, 0x1", "WARPGROUP.DEPBAR.LE gsb0, 0x0"
	const power, product = "MUFU.EX2 R4, R4", "@P0 HGMMA.64x128x16.F32.BF16 R24, gdesc[UR8], R24"

	for _, c := range []struct {
		name string
		loop []string
		says string
	}{
		{"good", []string{one, power, power, all}, "exponentials 2, float32 1,"},
		{"late", []string{one, all, power, power}, "before its first wait for products, 2 after"},
		{"one late", []string{one, power, all, power}, "1 after its second, of 2"},
		{"early", []string{power, one, power, all}, "has 1 exponentials before its first wait"},
		{"serialized", []string{one, power, all, all}, "waits 3 times for products"},
		{"swapped", []string{all, power, one}, "waits for other groups than all but one, then all"},
		{"no exponentials", []string{one, all}, "of 0; want none"},
		{"spilled", []string{one, power, "@!P1 STL [R1+0x8], R4", all}, "uses local memory"},
		{"no loop", nil, "has no loop with products"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := append(make([]string, 0, 16), "FMUL R5, R5, R6")
			for range 8 {
				list = append(list, product)
			}
			if list = append(list, c.loop...); c.loop != nil {
				list = append(list, "@P1 BRA 0x10")
			}

			out, err := order(awk, "attention_v3_128", list)
			if (err == nil) != (c.name == "good") || !strings.Contains(out, c.says) {
				t.Errorf("want %q, got %v:\n%s", c.says, err, out)
			}
		})
	}
	if out, err := order(awk, "linear_v3", []string{product}); err == nil ||
		!strings.Contains(out, "there is no attention_v3 with products") {
		t.Errorf("another kernel: %v:\n%s", err, out)
	}
}

// order runs the script on a listing of a kernel, in cuobjdump's form.
func order(awk, kernel string, list []string) (string, error) {
	var in strings.Builder
	fmt.Fprintf(&in, "\t\tFunction : %s\n", kernel)
	for i, text := range append([]string{"MOV R1, c[0x0][0x28]"}, list...) {
		fmt.Fprintf(&in, "        /*%04x*/                   %s ;  /* 0x000 */\n", 16*i, text)
		fmt.Fprintf(&in, "                                             /* 0x000 */\n")
	}
	c := exec.Command(awk, "-f", golden.Root("kernels", "sass-order.awk"))
	c.Stdin = strings.NewReader(in.String())
	out, err := c.CombinedOutput()
	return string(out), err
}
