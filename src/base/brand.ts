/** A number that must not be mixed with other numbers. The brand exists only in the type checker. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };
