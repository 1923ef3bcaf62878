package clip

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// TestPublishedNamesAreRead opens a folder whose image encoder has the names that the published
// ones have: with a prefix, and with numbers of positions besides.
func TestPublishedNamesAreRead(t *testing.T) {
	dir := golden.Twin(t, "i2v_clip")
	path := filepath.Join(dir, model.ImageEncoder, "model.safetensors")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}

	ids := make([]byte, 8*10)
	renamed := map[string]tensor.Tensor{"vision_model.embeddings.position_ids": {DType: tensor.I64,
		Shape: tensor.Shape{1, 10}, Data: ids}}
	for _, name := range f.Names() {
		if renamed["vision_model."+name], err = f.Tensor(name); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := safetensors.Write(out, renamed, nil); err != nil {
		t.Fatal(err)
	}

	m, err := model.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
