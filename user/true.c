/*
 * true: does nothing, successfully. asibench starts it to measure execve.
 */
int main(void) { return 0; }
