package safetensors_test

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
)

// Two tensors are written to a file in memory and read back by name.
func Example() {
	tensors := map[string]tensor.Tensor{
		"proj.weight": tensor.FromFloat32([]float32{1, 2, 3, 4, 5, 6}, 2, 3),
		"proj.bias":   tensor.FromFloat32([]float32{0.5, -0.5}, 2),
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, tensors, map[string]string{"format": "pt"}); err != nil {
		fmt.Println(err)
		return
	}

	f, err := safetensors.Parse(file.Bytes())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	for _, name := range f.Names() {
		t, err := f.Tensor(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		values, err := t.Float32()
		fmt.Println(name, t.DType, t.Shape, values, err)
	}
	_, err = f.Tensor("proj.scale")
	fmt.Println(err)

	// Output:
	// proj.bias F32 [2] [0.5 -0.5] <nil>
	// proj.weight F32 [2 3] [1 2 3 4 5 6] <nil>
	// safetensors in memory has no tensor "proj.scale"
}

// A header that does not agree with the file is refused before any tensor is handed out.
func ExampleParse() {
	header := `{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	file := append([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0}, header...)
	_, err := safetensors.Parse(append(file, 1, 2, 3, 4)) // 4 of the 8 bytes
	for _, reason := range strings.Split(err.Error(), ": ") {
		fmt.Println(reason)
	}

	// Output:
	// cannot read safetensors in memory
	// tensor "w" ends at byte 8 of the data, which has 4
	// the file is cut short; download it again
}
