package strongroom

// hidden keeps content that no print reaches.
//
// fmt asks the type of a field how to print it only when the field is exported. Otherwise it prints the content, and with a verb
// that does not fit also what a pointer leads to, as long as that is a struct, a slice or a map. A pointer to a pointer is none of
// these: fmt prints its address.
type hidden[T any] struct{ at **T }

// place has the content and the pointer that leads to it, in one piece of memory.
type place[T any] struct {
	content T
	pointer *T
}

func hide[T any](content T) hidden[T] {
	place := &place[T]{content: content}
	place.pointer = &place.content
	return hidden[T]{&place.pointer}
}

// isNothing tells whether nothing was hidden.
func (h hidden[T]) isNothing() bool { return h.at == nil }

// reveal returns the content. The zero value: nothing was hidden.
func (h hidden[T]) reveal() (content T) {
	if h.at != nil {
		content = **h.at
	}
	return content
}
