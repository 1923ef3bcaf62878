package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestModelVerify hashes a copied model, damages it in ways that people meet, and compares it with
// lists as several programs write them.
func TestModelVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS(tiny())); err != nil {
		t.Fatal(err)
	}
	weights := filepath.Join(dir, "vae", "diffusion_pytorch_model.safetensors")
	good, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	first := longtake(t, "model", "verify", dir)
	if first.code != 0 || !strings.Contains(first.out, "# fingerprint w2-") {
		t.Fatalf("%+v", first)
	}
	list := func(text string) string {
		name := filepath.Join(t.TempDir(), "sums")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	check := func(text string, code int, says ...string) {
		t.Helper()
		o := longtake(t, "model", "verify", dir, "--sums", list(text))
		if o.code != code {
			t.Errorf("code %d, want %d: %s%s", o.code, code, o.out, o.err)
		}
		for _, s := range says {
			if !strings.Contains(o.out+o.err, s) {
				t.Errorf("no %q in %s%s", s, o.out, o.err)
			}
		}
	}
	const vae = "vae/diffusion_pytorch_model.safetensors"
	check(first.out, 0, vae+": OK")
	check(strings.ToUpper(first.out[:64])+first.out[64:], 0)
	check(strings.ReplaceAll(first.out, "  ", " *./"), 0, vae+": OK")
	check(strings.ReplaceAll(first.out, "\n", "\r\n"), 0)
	var bsd strings.Builder
	var onlyWeights, noWeights strings.Builder
	for line := range strings.Lines(first.out) {
		sum, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			continue
		}
		bsd.WriteString("SHA256 (" + file + ") = " + sum + "\n")
		if strings.HasSuffix(file, ".safetensors") {
			onlyWeights.WriteString(line)
		} else {
			noWeights.WriteString(line)
		}
	}
	check(bsd.String(), 0, vae+": OK")
	check(onlyWeights.String(), 0, "vae/config.json: NOT LISTED")
	check(noWeights.String(), 1, vae+": NOT LISTED")
	check(first.out+first.out[:64]+"  vae/more.safetensors\n", 1, "vae/more.safetensors: MISSING")
	for _, bad := range []string{"", "# nothing\n", "hello", first.out[:60], "x" + first.out,
		first.out[:64] + "  ../secret", first.out[:64] + "  /etc/passwd",
		first.out + strings.Repeat("0", 64) + "  " + vae + "\n"} {
		check(bad, 2, "allowed:")
	}

	// A byte in the middle: the model still opens.
	changed := append([]byte{}, good...)
	changed[len(changed)/2] ^= 1
	write := func(data []byte) {
		if err := os.WriteFile(weights, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(changed)
	check(first.out, 1, vae+": FAILED", "1 of the model's files")
	if o := longtake(t, "model", "verify", dir, "--json"); o.code != 0 ||
		!strings.Contains(o.out, `"fingerprint":"w2-`) || strings.Contains(first.out, o.out) {
		t.Errorf("%+v", o)
	}
	write(good[:len(good)-1000]) // a download that broke off
	check(first.out, 1, vae+": FAILED", "1 of the model's files")
	for i := range 4 { // NaN
		good[len(good)-1-i] = 0xff
	}
	write(good)
	if o := longtake(t, "model", "verify", dir); o.code != 1 || !strings.Contains(o.err, "is NaN at") {
		t.Errorf("%+v", o)
	}
	for _, args := range [][]string{{dir + "/nowhere"}, {}, {dir, dir}, {dir, "--sums", "/nowhere"}} {
		if o := longtake(t, append([]string{"model", "verify"}, args...)...); o.code != 2 {
			t.Errorf("%q: %+v", args, o)
		}
	}
}
