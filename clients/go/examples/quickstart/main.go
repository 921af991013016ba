// Creates, reads, rotates and lists a secret. The address and the API key come from STRONGROOM_SERVER and STRONGROOM_API_KEY:
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/strongroom/strongroom/clients/go"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := strongroom.New(strongroom.WithNamespace("quickstart-go"))
	if err != nil {
		return err
	}
	defer client.Close()

	secret, err := client.Create(ctx, "db_password", strongroom.GeneratePassword(32),
		strongroom.Description("the password of the orders database"),
		strongroom.Metadata{"team": "orders"})
	if errors.Is(err, strongroom.ErrAlreadyExists) {
		secret, err = client.Rotate(ctx, "db_password", strongroom.GeneratePassword(32))
	}
	if err != nil {
		return err
	}
	fmt.Println(secret, "was made; its value prints as", secret.Value)

	secret, err = client.Get(ctx, "db_password")
	if err != nil {
		return err
	}
	fmt.Println("the value has", len(secret.Value.Text()), "characters")

	for secret, err := range client.List(ctx, strongroom.Metadata{"team": "orders"}) {
		if err != nil {
			return err
		}
		fmt.Println("listed:", secret.Name)
	}

	_, err = client.Get(ctx, "missing")
	var failure *strongroom.Error
	if errors.As(err, &failure) {
		fmt.Println("a secret that is missing:", failure.Reason)
	}
	return nil
}
