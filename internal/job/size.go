package job

import "fmt"

// checkSize wants a width and a height that patches tile, within the model's positions.
func (m Model) checkSize(s Spec) error {
	w := m.checkSide("width", s.Width, m.SpatialScale*m.Patch[2])
	if w != nil {
		return w
	}
	return m.checkSide("height", s.Height, m.SpatialScale*m.Patch[1])
}

// checkSide wants v to be a multiple of unit pixels, the side of a token; its error names the
// nearest ones.
func (m Model) checkSide(field string, v, unit int) error {
	top := SizeLimit - SizeLimit%unit
	if m.MaxPositions > 0 {
		top = min(top, m.MaxPositions*unit)
	}
	if v >= unit && v <= top && v%unit == 0 {
		return nil
	}

	allowed := fmt.Sprintf("a multiple of %d from %d to %d", unit, unit, top)
	if v > unit && v < top {
		allowed += fmt.Sprintf(", nearest %d and %d", v-v%unit, v-v%unit+unit)
	}
	return &FieldError{field, number(v), allowed}
}
