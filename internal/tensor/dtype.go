package tensor

import "fmt"

// DType is the type of a tensor's elements.
type DType uint8

// Element types, named as safetensors names them.
const (
	Invalid DType = iota
	F64
	F32
	F16
	BF16
	F8E4M3
	F8E5M2
	I64
	I32
	I16
	I8
	U64
	U32
	U16
	U8
	Bool
)

// dtypes are the types' names and sizes in bytes.
var dtypes = [...]struct {
	name string
	size int
}{
	Invalid: {"invalid", 0}, F64: {"F64", 8}, F32: {"F32", 4}, F16: {"F16", 2}, BF16: {"BF16", 2},
	F8E4M3: {"F8_E4M3", 1}, F8E5M2: {"F8_E5M2", 1}, I64: {"I64", 8}, I32: {"I32", 4},
	I16: {"I16", 2}, I8: {"I8", 1}, U64: {"U64", 8}, U32: {"U32", 4}, U16: {"U16", 2},
	U8: {"U8", 1}, Bool: {"BOOL", 1},
}

// ParseDType returns the type that safetensors calls name. Any other name is an error.
func ParseDType(name string) (DType, error) {
	for d := F64; int(d) < len(dtypes); d++ {
		if dtypes[d].name == name {
			return d, nil
		}
	}
	return Invalid, fmt.Errorf("dtype %q is not known", name)
}

// DTypeNames lists the names that ParseDType knows, for messages.
func DTypeNames() []string {
	var names []string
	for _, d := range dtypes[F64:] {
		names = append(names, d.name)
	}
	return names
}

// String returns the safetensors name.
func (d DType) String() string {
	if int(d) >= len(dtypes) {
		return dtypes[Invalid].name
	}
	return dtypes[d].name
}

// Size returns the bytes of one element, 0 for Invalid and for values that are no type at all, so
// that a broken header cannot divide by it.
func (d DType) Size() int {
	if int(d) >= len(dtypes) {
		return 0
	}
	return dtypes[d].size
}
