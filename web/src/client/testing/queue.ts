/** What is pushed comes out in order, until it ends; when it fails, what has not come out is lost. */
export class Queue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #over: { error: Error | null } | null = null;
  #wake: () => void = () => undefined;

  push(item: T): void {
    this.#items.push(item);
    this.#wake();
  }

  end(): void {
    this.#over ??= { error: null };
    this.#wake();
  }

  fail(error: Error): void {
    this.#items.length = 0;
    this.#over ??= { error };
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        yield item;
      } else if (this.#over) {
        if (this.#over.error) throw this.#over.error;
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }
}
