package torchsave

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/longtake/longtake/internal/tensor"
)

// view is a tensor as a pickle describes it: a part of a storage.
type view struct {
	dtype    tensor.DType
	key      string // of the storage in the archive
	elements int64  // of the storage
	offset   int64  // of the first value in the storage, in elements
	shape    tensor.Shape
}

// What a pickle leaves on its stack is one of these, an int64, a string, a bool, or a []any, which
// is a tuple.
type (
	mark    struct{}               // where a tuple begins
	global  string                 // a name of Python, such as "torch FloatStorage"
	storage struct{ fields []any } // what a persistent id names
	call    struct {               // a function and its arguments, which nobody calls
		function global
		args     []any
	}
)

// storages are the types of storages that are taken.
var storages = map[global]tensor.DType{"torch FloatStorage": tensor.F32,
	"torch HalfStorage": tensor.F16, "torch BFloat16Storage": tensor.BF16}

// machine reads a pickle. Every instruction pushes one value at most, so the stack is never longer
// than the pickle.
type machine struct {
	code  []byte
	stack []any
	memo  map[uint32]any
}

// describe reads the pickle of a tensor.
func describe(code []byte) (view, error) {
	m := &machine{code: code, memo: map[uint32]any{}}

	// Every instruction takes a byte of the code at least, so this ends.
	for {
		op, err := m.take(1)
		if err != nil {
			return view{}, err
		}
		if op[0] == '.' {
			break
		}

		if err := m.step(op[0]); err != nil {
			return view{}, err
		}
	}

	top, err := m.pop()
	if err != nil || len(m.stack) > 0 || len(m.code) > 0 {
		return view{}, wrong("its pickle does not end with one value")
	}
	return viewOf(top)
}

// step carries out an instruction; the names are those of Python's pickletools.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		return m.protocol()
	case 'K', 'M', 'J', 0x8a: // BININT1, BININT2, BININT, LONG1
		return m.integer(op)
	case 'X': // BINUNICODE
		return m.text()
	case 'c': // GLOBAL
		return m.global()

	case '(': // MARK
		m.push(mark{})
	case ')': // EMPTY_TUPLE
		m.push([]any{})
	case 't', 0x85, 0x86, 0x87: // TUPLE, TUPLE1, TUPLE2, TUPLE3
		return m.tuple(op)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		m.push(op == 0x88)

	// What names and calls things: nothing of it is looked up or carried out.
	case 'q', 'r', 'h', 'j': // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
		return m.remember(op)
	case 'Q': // BINPERSID
		return m.persistent()
	case 'R': // REDUCE
		return m.reduce()
	default:
		return wrong("its pickle has instruction %#02x, which a single tensor does not need", op)
	}
	return nil
}

// take returns the next n bytes of the code.
func (m *machine) take(n int) ([]byte, error) {
	if n > len(m.code) {
		return nil, wrong("its pickle ends in the middle")
	}
	b := m.code[:n]
	m.code = m.code[n:]
	return b, nil
}

// push puts a value on the stack.
func (m *machine) push(v any) { m.stack = append(m.stack, v) }

// pop takes the latest value off the stack.
func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, wrong("its pickle takes a value that is not there")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

// protocol wants the version that torch.save writes.
func (m *machine) protocol() error {
	b, err := m.take(1)
	if err == nil && b[0] != 2 {
		err = wrong("its pickle is of protocol %d; allowed: 2", b[0])
	}
	return err
}

// integer pushes a number, little-endian and of a length that op says, or in LONG1 the code.
func (m *machine) integer(op byte) error {
	n := map[byte]int{'K': 1, 'M': 2, 'J': 4}[op]
	if op == 0x8a {
		b, err := m.take(1)
		if err != nil || b[0] > 8 {
			return wrong("its pickle has a number of more than 8 bytes")
		}
		n = int(b[0])
	}
	b, err := m.take(n)
	if err != nil {
		return err
	}

	// The two longer ones are signed, in two's complement.
	var v int64
	for i, x := range b {
		v |= int64(x) << (8 * i)
	}
	if signed := op == 'J' || op == 0x8a; signed && n > 0 && b[n-1] >= 0x80 && n < 8 {
		v -= 1 << (8 * n)
	}
	m.push(v)
	return nil
}

// text pushes a string with its length before it.
func (m *machine) text() error {
	b, err := m.take(4)
	if err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(b)
	if n > pickleMax {
		return wrong("its pickle has a text of %d bytes", n)
	}
	if b, err = m.take(int(n)); err == nil {
		m.push(string(b))
	}
	return err
}

// global pushes a name: two lines, of a module and of what is in it.
func (m *machine) global() error {
	module, rest, ok := strings.Cut(string(m.code), "\n")
	name, rest, ok2 := strings.Cut(rest, "\n")
	if !ok || !ok2 {
		return wrong("its pickle ends in the middle")
	}
	m.code = m.code[len(m.code)-len(rest):]
	m.push(global(module + " " + name))
	return nil
}

// tuple replaces the latest values, down to the latest mark or as many as op says, by a tuple.
func (m *machine) tuple(op byte) error {
	n := int(op) - 0x84
	if op == 't' {
		for n = 0; n < len(m.stack); n++ {
			if _, ok := m.stack[len(m.stack)-1-n].(mark); ok {
				break
			}
		}
	}
	at := len(m.stack) - n
	if at < 0 || op == 't' && at == 0 {
		return wrong("its pickle takes a value that is not there")
	}

	values := append([]any{}, m.stack[at:]...)
	if op == 't' {
		at--
	}
	m.stack = append(m.stack[:at], values)
	return nil
}

// remember keeps the latest value under a number, or pushes one that was kept.
func (m *machine) remember(op byte) error {
	n := 1
	if op == 'r' || op == 'j' {
		n = 4
	}
	b, err := m.take(n)
	if err != nil {
		return err
	}
	id := binary.LittleEndian.Uint32(append(append([]byte{}, b...), 0, 0, 0))

	if op == 'h' || op == 'j' {
		v, ok := m.memo[id]
		if !ok {
			return wrong("its pickle takes a value that is not there")
		}
		m.push(v)
		return nil
	}

	// A tuple that is kept is never changed: later ones are copies.
	if len(m.stack) == 0 {
		return wrong("its pickle keeps a value that is not there")
	}
	m.memo[id] = m.stack[len(m.stack)-1]
	return nil
}

// persistent replaces the latest value, a tuple, by the storage that it names.
func (m *machine) persistent() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	fields, ok := v.([]any)
	if !ok {
		return wrong("its pickle names a storage by %T", v)
	}
	m.push(storage{fields})
	return nil
}

// reduce replaces a function and its arguments by the call, which is made nowhere.
func (m *machine) reduce() error {
	args, err := m.pop()
	if err != nil {
		return err
	}
	f, err := m.pop()
	if err != nil {
		return err
	}

	// Every other function is refused here, whatever would become of what it returns.
	function, known := f.(global)
	values, ok := args.([]any)
	if !known || !ok {
		return wrong("its pickle calls what is no function")
	}
	if function != rebuild && function != hooks {
		return wrong("its pickle calls %.100s; a single tensor is allowed",
			strings.Replace(fmt.Sprintf("%q", string(function)), " ", ".", 1))
	}
	m.push(call{function, values})
	return nil
}

// The two functions that the pickle of a tensor has: the tensor's, and that of its backward hooks,
// of which there are none.
const (
	rebuild global = "torch._utils _rebuild_tensor_v2"
	hooks   global = "collections OrderedDict"
)

// viewOf reads the call that makes a tensor: storage, offset, sizes, strides, requires_grad, hooks.
func viewOf(v any) (view, error) {
	c, ok := v.(call)
	if !ok || c.function != rebuild || len(c.args) != 6 {
		return view{}, wrong("it holds something else than one tensor")
	}

	// Whether it requires gradients, and its hooks, say nothing about its values.
	s, isStorage := c.args[0].(storage)
	offset, hasOffset := c.args[1].(int64)
	sizes, err := integers(c.args[2])
	if err != nil {
		return view{}, err
	}

	strides, err := integers(c.args[3])
	if err != nil {
		return view{}, err
	}
	if !isStorage || !hasOffset || offset < 0 || len(strides) != len(sizes) {
		return view{}, wrong("its tensor is put together in another way")
	}

	out := view{offset: offset}
	if err := out.from(s); err != nil {
		return view{}, err
	}
	return out, out.lay(sizes, strides)
}

// from reads what a storage is: "storage", its type, its key, where it was, how many elements.
func (v *view) from(s storage) error {
	if len(s.fields) != 5 || s.fields[0] != any("storage") {
		return wrong("its storage is described in another way")
	}
	kind, _ := s.fields[1].(global)
	key, hasKey := s.fields[2].(string)
	elements, hasElements := s.fields[4].(int64)
	if v.dtype = storages[kind]; v.dtype == tensor.Invalid {
		return wrong("its values are of %.64q; allowed: float32, bfloat16, float16", string(kind))
	}

	if !hasKey || strings.ContainsAny(key, "/\\") || !hasElements || elements < 0 ||
		elements > elementsMax || v.offset > elements {
		return wrong("its storage is described in another way")
	}
	v.key, v.elements = key, elements
	return nil
}

// elementsMax keeps products of counts from overflowing.
const elementsMax = 1 << 40

// lay takes the sizes, of which none is 0, and wants the values one after the other.
func (v *view) lay(sizes, strides []int64) error {
	if len(sizes) > dimsMax {
		return wrong("a tensor of %d dimensions", len(sizes))
	}

	// From the last dimension on, each step is as wide as all that lies within it. Of a dimension of
	// one the step says nothing.
	next := int64(1)
	for i := len(sizes) - 1; i >= 0; i-- {
		if sizes[i] < 1 || sizes[i] > elementsMax/next {
			return wrong("a tensor of shape %v", sizes)
		}
		if sizes[i] > 1 && strides[i] != next {
			return wrong("its values are not in order; save the tensor's contiguous()")
		}
		next *= sizes[i]
	}

	for _, n := range sizes {
		v.shape = append(v.shape, int(n))
	}
	return nil
}

// integers reads a tuple of numbers.
func integers(v any) (out []int64, err error) {
	values, ok := v.([]any)
	for _, x := range values {
		n, is := x.(int64)
		out, ok = append(out, n), ok && is
	}
	if !ok {
		return nil, wrong("its sizes are no numbers")
	}
	return out, nil
}
